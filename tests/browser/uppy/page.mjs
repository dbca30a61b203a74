// What a page does that sends with Uppy; bundled for the test.
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

/** Sends files that are made from seeds. @returns how many went, and what went wrong */
globalThis.sendAll = async ({ endpoint, token, files, parts, atOnce, chunkSize }) => {
  const uppy = new Uppy().use(Tus, {
    endpoint,
    chunkSize,
    limit: atOnce,
    parallelUploads: parts,
    retryDelays: Array(100).fill(200),
    onShouldRetry: () => true,
    storeFingerprintForResuming: false,
    headers: { Authorization: `Bearer ${token}` },
    allowedMetaFields: ['file_id', 'filetype'],
  })
  for (const { name, base64 } of files) {
    const data = new Blob([Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))])
    uppy.addFile({ name: `${name}.dcm`, type: 'application/dicom', data, meta: { file_id: name, filetype: 'application/dicom' } })
  }
  const { successful, failed } = await uppy.upload()
  if (!failed.length) return { sent: successful.length, failed: [] }
  // tus-js-client doesn't repeat the request that puts parts together: whoever sits there presses "Retry".
  const again = await uppy.retryAll()
  return { sent: successful.length + again.successful.length, failed: again.failed.map((one) => one.error) }
}
