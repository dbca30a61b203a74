// Uppy in Chromium: node send.mjs TUS_URL PAGE_PORT PARTS FILE...; the upload token comes by $TOKEN. Several files go at once.
// The page is from another origin than the gateway, which has to allow that.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { basename } from 'node:path'
import { chromium } from '../../node/node_modules/playwright-core/index.mjs'
import { rolldown } from '../../../pwa/node_modules/rolldown/dist/index.mjs'

const [endpoint, port, parts, ...paths] = process.argv.slice(2)
const bundle = await rolldown({
  input: new URL('./page.mjs', import.meta.url).pathname,
  platform: 'browser',
  logLevel: 'silent',
  resolve: { modules: [new URL('../../node/node_modules', import.meta.url).pathname] },
})
const { output } = await bundle.generate({ format: 'iife' })
await bundle.close()
const html = '<!doctype html><title>Uppy</title><script src="/page.js"></script>'
const server = createServer((request, response) => {
  const script = request.url === '/page.js'
  response.writeHead(200, { 'Content-Type': script ? 'text/javascript' : 'text/html' }).end(script ? output[0].code : html)
}).listen(Number(port), '127.0.0.1')
const browser = await chromium.launch({
  executablePath: process.env.RELAYPACS_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
})
try {
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${port}/`)
  const files = paths.map((path) => ({ name: basename(path).split('.')[0], base64: readFileSync(path).toString('base64') }))
  const wish = { endpoint, token: process.env.TOKEN, files, parts: Number(parts), atOnce: 3, chunkSize: 500_000 }
  const told = await page.evaluate((wish) => globalThis.sendAll(wish), wish)
  if (told.failed.length || told.sent !== paths.length) throw new Error(JSON.stringify(told))
} finally {
  await browser.close()
  server.close()
}
