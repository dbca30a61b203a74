// Prints what Node's own http hears before the final answer: node interim.mjs FILES_URL VERSION; the token comes by $TOKEN.
import { request } from 'node:http'

const [url, version] = process.argv.slice(2)
const heard = []
const asking = request(url, {
  method: 'POST',
  headers: {
    Authorization: `Bearer ${process.env.TOKEN}`,
    'Upload-Complete': '?1',
    'Upload-Draft-Interop-Version': version,
    'Content-Length': 5,
  },
})
asking.on('information', ({ statusCode, headers }) => heard.push({ status: statusCode, location: headers.location }))
asking.on('response', (answer) => {
  answer.resume()
  answer.on('end', () => console.log(JSON.stringify({ heard, status: answer.statusCode, location: answer.headers.location })))
})
asking.end('bytes')
