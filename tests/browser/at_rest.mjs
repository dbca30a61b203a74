// A patient's study goes through a browser with a profile on the disk. In the middle, after SIGKILL, after the receipt
// and after the browser's end everything that it keeps is laid down in a folder, for test_at_rest.py to look into.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { join } from "node:path";
import { AT_ONCE, Line } from "./line.mjs";
import { arrived, Device, eventually, Gateway, openPage, pickFolder, send, signIn, STUDY, until } from "./stage.mjs";

const OUT = process.env.RELAYPACS_OUT;
const CONTROL = JSON.parse(process.env.RELAYPACS_CONTROL);
const TYPED = JSON.parse(process.env.RELAYPACS_TYPED);

const gateway = new Gateway();
const line = new Line(gateway);
const device = new Device();
await gateway.start();
await line.start();

/** Another site, which leaves in the profile what ours may not. */
const elsewhere = createServer((request, response) => {
  const cached = request.url.startsWith("/cached");
  response.writeHead(200, { "Content-Type": cached ? "text/plain" : "text/html", "Cache-Control": cached ? "max-age=9999" : "no-cache" });
  response.end(cached ? CONTROL["HTTP cache"] : `<title>control</title><form action="/sent"><input name="who" id="who"><textarea id="free"></textarea><button>go</button></form>`);
}).listen(0, "127.0.0.1");
await once(elsewhere, "listening");
const control = `http://127.0.0.1:${elsewhere.address().port}`;

async function keep(phase, page) {
  const folder = join(OUT, phase);
  mkdirSync(folder, { recursive: true });
  copyWhole(device.profile, join(folder, "profile"));
  if (page) writeFileSync(join(folder, "stores.bin"), Buffer.from(await dumped(page), "base64"));
}

/** A browser that runs may take files away while they are copied: then all of it is copied anew. */
function copyWhole(from, to) {
  for (let tries = 1; ; tries += 1) {
    rmSync(to, { recursive: true, force: true });
    try {
      return cpSync(from, to, { recursive: true, filter: (path) => !/Singleton/.test(path) });
    } catch (error) {
      if (error.code !== "ENOENT" || tries === 20) throw error;
    }
  }
}

/** Some seconds pass before a browser writes it down. */
async function onDisk(folder, word) {
  const place = join(device.profile, "Default", folder);
  await eventually(`it is in ${folder}`, () => readdirSync(place).some((name) => readFileSync(join(place, name)).includes(word)));
}

/** Every row of every store of every database, as bytes: texts as UTF-8, buffers as they are. */
function dumped(page) {
  return page.evaluate(async () => {
    const wait = (request) => new Promise((done, failed) => ((request.onsuccess = () => done(request.result)), (request.onerror = () => failed(request.error))));
    const parts = [];
    const put = async (value) => {
      if (value instanceof Blob) parts.push(new Uint8Array(await value.arrayBuffer()));
      else if (value instanceof ArrayBuffer) parts.push(new Uint8Array(value));
      else if (ArrayBuffer.isView(value)) parts.push(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
      else if (value && typeof value === "object" && !(value instanceof CryptoKey)) for (const [key, one] of Object.entries(value)) await put(key).then(() => put(one));
      else parts.push(new TextEncoder().encode(`${value}\n`));
    };
    for (const { name } of await indexedDB.databases()) {
      const db = await wait(indexedDB.open(name));
      for (const store of db.objectStoreNames) {
        const rows = await wait(db.transaction(store).objectStore(store).getAll());
        const keys = await wait(db.transaction(store).objectStore(store).getAllKeys());
        for (const one of [...keys, ...rows]) await put(one);
      }
      db.close();
    }
    const buffer = new Uint8Array(await new Blob(parts).arrayBuffer());
    let text = "";
    for (let at = 0; at < buffer.length; at += 0x8000) text += String.fromCharCode(...buffer.subarray(at, at + 0x8000));
    return btoa(text);
  });
}

/** What a careless app would leave, each with a word of its own. */
async function careless(context) {
  const ours = await openPage(context, line.url);
  await ours.evaluate(async (words) => {
    localStorage.setItem("careless", words["local storage"]);
    const db = await new Promise((done) => {
      const asked = indexedDB.open("careless", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore("rows");
      asked.onsuccess = () => done(asked.result);
    });
    const halves = (word) => [word.slice(0, word.length / 2), word.slice(word.length / 2)];
    const filler = () => Array.from(crypto.getRandomValues(new Uint16Array(15_000)), (one) => String.fromCharCode(33 + (one % 90))).join("");
    const store = db.transaction("rows", "readwrite").objectStore("rows");
    store.put({ text: words["small value"] }, "small");
    // Halves of a word come first, apart: where it is packed, the word itself is two references to them.
    const [first, second] = halves(words["packed value"]);
    store.put({ text: `${`${first}. ${second}. `.repeat(4000)}${words["packed value"]}` }, "large");
    const [left, right] = halves(words["packed table"]);
    for (let n = 0; n < 40; n += 1) store.put(`${left}. ${right}. `.repeat(9), `table ${n}`);
    store.put(words["packed table"], "table 20, and then"); // amid those
    for (let n = 0; n < 300; n += 1) store.put(filler(), `z${n}`); // enough for a table of its own
    await new Promise((done) => (store.transaction.oncomplete = done));
    db.close();
  }, CONTROL);
  await ours.close();
  const site = await openPage(context, `${control}/?visited=${CONTROL["history"]}`);
  await site.fill("#who", CONTROL["autofill"]);
  await site.click("button");
  await site.waitForURL("**/sent*");
  await site.evaluate(() => fetch("/cached"));
  await site.fill("#free", CONTROL["open tab"]);
  await site.evaluate(async (word) => (await caches.open("careless")).put("/careless", new Response(word)), CONTROL["cache storage"]);
  await onDisk("Sessions", Buffer.from(CONTROL["open tab"], "utf16le"));
  await onDisk("Local Storage/leveldb", CONTROL["local storage"]);
}

try {
  const first = await device.start();
  await careless(first);
  const page = await openPage(first, line.url);
  await signIn(page, gateway);
  line.slow();
  await pickFolder(page);
  await page.getByText("Who is sending? (optional)").click();
  for (const [label, text] of Object.entries(TYPED)) await page.getByLabel(label).fill(text);
  await send(page);
  await until(page, "some files are sent, some aren't", ({ files }) => !files.picked && files.sent >= 3 && files.sent < STUDY.files - AT_ONCE);
  await keep("in the middle", page);
  await device.kill();
  await keep("after SIGKILL");
  line.fast();
  const again = await openPage(await device.start(), line.url);
  await arrived(again);
  await again.getByRole("button", { name: /^Show / }).click();
  const saved = again.waitForEvent("download");
  await again.getByRole("button", { name: "Save the receipt" }).click();
  await saved;
  await keep("after the receipt", again);
  await device.context.close();
  await keep("after the browser's end");
} finally {
  await device.end();
  await line.end();
  elsewhere.close();
  elsewhere.closeAllConnections();
  await gateway.end();
}
