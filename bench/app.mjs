// The app in Chromium beside the least that a page can do: plain IndexedDB for copying in, a bare fetch into a sink for
// sending. One line of JSON per run on stdout. Arguments: gateway, its pid, user, password, folder, rounds, loads.
import { createServer } from "node:http";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Chromium } from "./chromium.mjs";

const [gateway, pid, user, password, folder, rounds, loads] = process.argv.slice(2);
const sizes = readdirSync(folder).map((name) => statSync(join(folder, name)).size);
const [FILES, BYTES] = [sizes.length, sizes.reduce((sum, size) => sum + size, 0)];
const wanted = new Set(loads.split(","));

/** What the page of the comparison does, in a Worker of its own as the app does: 16 files a transaction, four requests. */
const WORKER = `
const wait = (request) => new Promise((done, failed) => ((request.onsuccess = () => done(request.result)), (request.onerror = () => failed(request.error))));
const end = (tx) => new Promise((done, failed) => ((tx.oncomplete = done), (tx.onabort = () => failed(tx.error))));
const asked = indexedDB.open("plain");
asked.onupgradeneeded = () => asked.result.createObjectStore("rows");
const opened = wait(asked);
const keyed = crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
async function put(rows) {
  const tx = (await opened).transaction("rows", "readwrite");
  for (const [key, row] of rows) tx.objectStore("rows").put(row, key);
  await end(tx);
}
async function copy(files, sealed) {
  const key = await keyed;
  for (let at = 0; at < files.length; at += 16) {
    await put(await Promise.all(files.slice(at, at + 16).map(async (file, number) => {
      const bytes = await file.arrayBuffer();
      if (!sealed) return [at + number, bytes];
      const iv = crypto.getRandomValues(new Uint8Array(12));
      return [at + number, { iv, data: await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, bytes) }];
    })));
  }
}
async function send(count) {
  const [db, key] = [await opened, await keyed];
  let next = 0;
  const line = async () => {
    while (next < count) {
      const { iv, data } = await wait(db.transaction("rows").objectStore("rows").get(next++));
      const body = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, data);
      await (await fetch("/sink", { method: "POST", body })).text();
    }
  };
  await Promise.all([line(), line(), line(), line()]);
}
onmessage = async ({ data: { act, files, sealed } }) => {
  const began = performance.now();
  await (act === "copy" ? copy(files, sealed) : send(files));
  postMessage(performance.now() - began);
};`;

const sink = createServer((request, response) => {
  if (request.method === "POST") return request.resume().on("end", () => response.end("ok"));
  const script = request.url === "/worker.js";
  response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
  response.end(script ? WORKER : "<!doctype html><input type=file multiple><script>worker = new Worker('/worker.js')</script>");
});
await new Promise((done) => sink.listen(0, "127.0.0.1", done));
const SINK = `http://127.0.0.1:${sink.address().port}/`;

const browser = new Chromium();
const FOLDER = readdirSync(folder).map((name) => join(folder, name));

async function plain(act, sealed) {
  const context = await browser.context();
  try {
    const page = await context.page(SINK);
    await page.until(() => typeof worker === "object");
    await page.pick("input", FOLDER);
    const run = (wish) => page.run((wish) => new Promise((done) => {
      worker.onmessage = ({ data }) => done(data);
      worker.postMessage({ ...wish, files: wish.act === "copy" ? [...document.querySelector("input").files] : wish.files });
    }), wish);
    const copied = await run({ act: "copy", sealed });
    return act === "copy" ? copied : await run({ act: "send", files: FILES });
  } finally {
    await context.close();
  }
}

/** Nothing is left to do for what was sent before: the gateway judges files after their last byte. */
async function settled() {
  const cpu = () => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
  for (let before = cpu(), now = -1; now - before > 5 || now === -1; ) {
    await new Promise((done) => setTimeout(done, 500));
    [before, now] = [now === -1 ? before : now, cpu()];
  }
}

/** Times of one study: copied while another tab keeps the engine, then sent if wanted; and what the page felt of it. */
async function app(sending) {
  const context = await browser.context();
  try {
    const other = await context.page(`${gateway}/healthz`);
    await other.until(() => location.protocol === "http:");
    await other.run(() => new Promise((held) => void navigator.locks.request("engine", () => new Promise((release) => ((globalThis.release = release), held(true))))));
    const page = await context.page(gateway);
    await page.until(() => document.querySelector("input[type=password]"));
    await page.run(({ user, password }) => {
      const [name, secret] = ["input:not([type=password])", "input[type=password]"].map((what) => document.querySelector(`form ${what}`));
      for (const [input, value] of [[name, user], [secret, password]]) {
        input.value = value;
        input.dispatchEvent(new Event("input", { bubbles: true }));
      }
      secret.form.requestSubmit();
    }, { user, password });
    await page.until(() => document.querySelector(".picker input[type=file]"));
    await page.run(watchTasks);
    await page.pick(".picker input[type=file]", FOLDER);
    await page.until(() => document.querySelector(".bottom button.main:not([disabled])"));
    const ingest_ms = await page.run(untilStatus, { not: "reading", press: true });
    const ingest_longest = await page.run(() => longest);
    const list_ms = await page.run(listing);
    if (!sending) return { ingest_ms, ingest_longest, list_ms };
    await page.run(() => (longest = 0));
    await other.run(() => release());
    const upload_ms = await page.run(untilStatus, { is: "delivering", press: false });
    return { ingest_ms, ingest_longest, list_ms, upload_ms, upload_longest: await page.run(() => longest) };
  } finally {
    await context.close();
  }
}

/**
 * In the page: the longest task from now on. Not what the browser does before it tells the page of picked files: it looks
 * at each of them, and no page can help that.
 */
function watchTasks() {
  globalThis.longest = 0;
  let chosen_at = 0;
  document.addEventListener("change", () => (chosen_at = performance.now()), true);
  const note = ({ startTime, duration }) => (longest = Math.max(longest, startTime + duration - Math.max(startTime, chosen_at)));
  new PerformanceObserver((list) => list.getEntries().forEach(note)).observe({ type: "longtask" });
}

/**
 * In the page: how long until the one study there is has that status, or hasn't any more. Looking costs what is measured:
 * it looks when the app says that something changed, and a few times a second.
 */
async function untilStatus({ is, not, press }) {
  const wait = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const db = await wait(indexedDB.open("relaypacs"));
  const news = new BroadcastChannel("relaypacs");
  const began = performance.now();
  if (press) document.querySelector(".bottom button.main").click();
  for (;;) {
    const changed = new Promise((done) => (news.onmessage = ({ data }) => data.kind === "changed" && done()));
    const [row] = await wait(db.transaction("StudyStore").objectStore("StudyStore").getAll());
    if (row && (is ? row.status === is : row.status !== not)) break;
    await Promise.race([changed, new Promise((done) => setTimeout(done, 200))]);
  }
  news.close();
  db.close();
  return performance.now() - began;
}

/** In the page: the study's files as its screen asks for them, the median of five times. */
async function listing() {
  const wait = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const db = await wait(indexedDB.open("relaypacs"));
  const [study] = await wait(db.transaction("StudyStore").objectStore("StudyStore").getAllKeys());
  const times = [];
  for (let time = 0; time < 5; time += 1) {
    const began = performance.now();
    await wait(db.transaction("FileStore").objectStore("FileStore").index("study_id").getAll(study));
    times.push(performance.now() - began);
  }
  db.close();
  return times.sort((a, b) => a - b)[2];
}

const rate = (ms) => ({ mb_s: BYTES / 1000 / ms, files_s: (FILES * 1000) / ms });
const tell = (load, name, figures) => wanted.has(load) && console.log(JSON.stringify({ load, name, figures }));

if (wanted.has("app-many")) {
  const times = await app(false);
  tell("app-many", "app", { ...rate(times.ingest_ms), longest_task_ms: times.ingest_longest, list_ms: times.list_ms });
  wanted.delete("app-many");
}
for (let round = 0; wanted.size > 0 && round <= Number(rounds); round += 1) {
  await settled();
  const runs = [];
  if (wanted.has("app-ingest")) runs.push(["app-ingest", "plain", rate(await plain("copy", false))]);
  const times = await app(true);
  runs.push(["app-ingest", "app", { ...rate(times.ingest_ms), longest_task_ms: times.ingest_longest, list_ms: times.list_ms }]);
  runs.push(["app-upload", "app", { ...rate(times.upload_ms), longest_task_ms: times.upload_longest }]);
  await settled();
  if (wanted.has("app-upload")) runs.push(["app-upload", "sink", rate(await plain("send", true))]);
  if (round > 0) for (const run of runs) tell(...run); // the first isn't counted
}
await browser.end();
sink.close();
