// Sends files with tus-js-client: node send.mjs TUS_URL CHUNK_BYTES with-first|empty-first FILE...
// The upload token comes by $TOKEN. "with-first": the creation brings the first chunk (creation-with-upload).
// Every other file is broken off after its first chunk and gone on with by a new Upload object.
import { createReadStream, statSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { Upload } from 'tus-js-client'

const [endpoint, chunkBytes, how, ...paths] = process.argv.slice(2)
const AT_ONCE = 4

function send(path, uploadUrl, stopAfterFirstChunk) {
  return new Promise((resolve, reject) => {
    const upload = new Upload(createReadStream(path), {
      endpoint,
      uploadUrl,
      chunkSize: Number(chunkBytes),
      uploadSize: statSync(path).size,
      uploadDataDuringCreation: how === 'with-first',
      headers: { Authorization: `Bearer ${process.env.TOKEN}` },
      metadata: {
        file_id: createHash('sha256').update(path).digest('hex').slice(0, 32),
        filetype: 'application/dicom',
      },
      retryDelays: [0, 200, 1000],
      storeFingerprintForResuming: false,
      onError: reject,
      onSuccess: () => resolve(null),
      onChunkComplete: () => {
        if (stopAfterFirstChunk) upload.abort().then(() => resolve(upload.url), reject)
      },
    })
    upload.start()
  })
}

async function sendWhole(path, number) {
  const left = await send(path, null, number % 2 === 1)
  if (left) await send(path, left, false)
}

const waiting = paths.map((path, number) => [path, number])
async function work() {
  for (let next = waiting.shift(); next; next = waiting.shift()) await sendWhole(...next)
}
await Promise.all(Array.from({ length: AT_ONCE }, work))
console.log(`${paths.length} files sent`)
