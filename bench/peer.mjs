// A tus server of others: @tus/server over @tus/file-store, from tests/node. Usage: node peer.mjs FOLDER_OF_MODULES STORE
// Prints "listening on URL" like the gateway. It syncs nothing and encrypts nothing.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const [modules, store] = process.argv.slice(2)
const { resolve } = createRequire(join(modules, 'package.json'))
const load = (name) => import(pathToFileURL(resolve(name)))
const { Server } = await load('@tus/server')
const { FileStore } = await load('@tus/file-store')

const tus = new Server({ path: '/files', datastore: new FileStore({ directory: store }) })
const server = createServer(tus.handle.bind(tus))
server.requestTimeout = 0 // 1000 slow bodies take longer than its default allows
server.listen({ host: '127.0.0.1', port: 0, backlog: 1024 }, () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
process.on('SIGTERM', () => process.exit(0))
