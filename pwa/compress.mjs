// Every text file of the build beside itself as .br and .gz: the gateway compresses nothing while it serves.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const built = fileURLToPath(new URL("../gateway/web/static", import.meta.url));
for (const name of readdirSync(built, { recursive: true })) {
  if (!/\.(js|css|html|svg|webmanifest)$/.test(name)) continue;
  const path = join(built, name);
  const bytes = readFileSync(path);
  const gz = gzipSync(bytes, { level: 9 });
  if (gz.length >= bytes.length) continue;
  writeFileSync(`${path}.gz`, gz);
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
  );
  console.log(`${String(bytes.length).padStart(8)} ${String(gz.length).padStart(7)} gz  ${name}`);
}
