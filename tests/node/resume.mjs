// Sends one file by a tus-js-client, with its own retries: node resume.mjs PACKAGE PROTOCOL TUS_URL FILE [PARTS]
// PACKAGE: tus-js-client (4.3.1), tus-js-client-5 (5.0.0-pre2); PROTOCOL: tus-v1, ietf-draft-03, ietf-draft-05.
// PARTS: so many parts at once, which are put together at the end. The upload token comes by $TOKEN.
import { createReadStream, statSync } from 'node:fs'
import { basename } from 'node:path'

const [packageName, protocol, endpoint, path, parts] = process.argv.slice(2)
const { Upload } = await import(packageName)

await new Promise((resolve, reject) => {
  const upload = new Upload(createReadStream(path), {
    endpoint,
    protocol,
    chunkSize: 500_000,
    // Of several parts the client finds each one's size out by itself.
    ...(parts ? { parallelUploads: Number(parts) } : { uploadSize: statSync(path).size }),
    headers: { Authorization: `Bearer ${process.env.TOKEN}` },
    // Header fields of both protocols in one request are refused, and this one is tus'.
    metadata: protocol === 'tus-v1' ? { file_id: basename(path).split('.')[0], filetype: 'application/dicom' } : {},
    retryDelays: Array(100).fill(200),
    onShouldRetry: () => true,
    storeFingerprintForResuming: false,
    onError: reject,
    onSuccess: resolve,
  })
  upload.start()
})
