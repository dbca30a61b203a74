// Sends files with tus-js-client as its manual shows it, three at once: node tusjs.mjs TUS_URL URLS FILE...
// The upload token comes by $TOKEN; where each file is, is kept in the file URLS for the next try.
import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const { Upload } = createRequire(new URL("../node/", import.meta.url))("tus-js-client");
const [endpoint, urls, ...paths] = process.argv.slice(2);
const AT_ONCE = 3;
const known = existsSync(urls) ? JSON.parse(readFileSync(urls)) : {};

const send = (path) => new Promise((resolve, reject) => {
  const upload = new Upload(createReadStream(path), {
    endpoint,
    uploadUrl: known[path],
    chunkSize: 4 * 1024 * 1024,
    uploadSize: statSync(path).size,
    headers: { Authorization: `Bearer ${process.env.TOKEN}` },
    metadata: { file_id: createHash("sha256").update(path).digest("hex").slice(0, 32), filetype: "application/dicom" },
    retryDelays: [0, 1000, 3000, 5000],
    storeFingerprintForResuming: false,
    onUploadUrlAvailable: () => writeFileSync(urls, JSON.stringify(Object.assign(known, { [path]: upload.url }))),
    onError: reject,
    onSuccess: resolve,
  });
  upload.start();
});

const waiting = [...paths];
async function work() {
  for (let path = waiting.shift(); path; path = waiting.shift()) await send(path);
}
await Promise.all(Array.from({ length: AT_ONCE }, work));
