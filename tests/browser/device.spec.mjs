import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { AT_ONCE } from "./line.mjs";
import { arrived, browse, closeAll, command, door, FILES, Gateway, openPage, pickFolder, send, SERIES, signIn, stores, until } from "./stage.mjs";

const gateway = new Gateway();
const NAME = process.env.RELAYPACS_PATIENT ?? "";
const HOUR_MS = 3600_000;
let context;
/** Lets what waits at the door through. */
let open = () => undefined;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
afterEach(() => {
  open();
  return context?.close();
});

async function signInAs(page, name, password) {
  await page.getByLabel("User name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Add images" }).waitFor();
}

/** A page with a study on its way, all of it copied and some of it sent; the rest waits until `open`. */
async function inTheMiddle(url = gateway.url, options = { serviceWorkers: "block" }, start = (page) => signIn(page, gateway)) {
  context = await browse(options);
  open = await door(context);
  const page = await openPage(context, url);
  await start(page);
  await pickFolder(page);
  await send(page);
  await until(page, "all files are copied", ({ files }) => !files.picked);
  await until(page, "some files are sent, some aren't", ({ files }) => files.sent >= 3 && files.sent < FILES - AT_ONCE);
  return page;
}

/** The gateway's clock, as its answers tell it, is ahead by so many hours. */
async function gatewayAheadBy(hours) {
  await context.unroute(/\/(healthz|app\/config|endpoints|status|token|complete)$/);
  await context.route(/\/(healthz|app\/config|endpoints|status|token|complete)$/, async (route) => {
    const answer = await route.fetch();
    const date = new Date(Date.now() + hours * HOUR_MS).toUTCString();
    await route.fulfill({ response: answer, headers: { ...answer.headers(), date } });
  });
}

async function eventually(what, happened, within_ms = 15_000) {
  for (const end = Date.now() + within_ms; !(await happened()); await new Promise((done) => setTimeout(done, 100))) {
    assert.ok(Date.now() < end, `it did not happen in time: ${what}`);
  }
}

/** In the page or a worker: the rows of StudyStore. */
async function studies() {
  const wait = (asked) => new Promise((done) => (asked.onsuccess = () => done(asked.result)));
  const db = await wait(indexedDB.open("relaypacs"));
  const rows = await wait(db.transaction("StudyStore").objectStore("StudyStore").getAll());
  db.close();
  return rows;
}

test("a copy that has lain here for too long is removed by the gateway's clock, after a warning, and the row says so", async () => {
  const page = await inTheMiddle();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused").waitFor();
  open();
  await gatewayAheadBy(0);
  await page.reload();
  await eventually("it has seen the gateway's clock", async () => (await page.evaluate(studies)).every((row) => row.kept?.since));
  await gatewayAheadBy(50);
  await page.reload();
  await page.getByText("Not sent yet. The copy on this device will be deleted").waitFor();
  assert.ok((await stores(page)).count.SegmentStore > 0, "it is still here");
  await gatewayAheadBy(73);
  await page.reload();
  await page.locator(".entry .how", { hasText: /\d+ of \d+ files reached the gateway, none the PACS\. Copies may stay on this device for 3\sdays/ }).waitFor();
  await until(page, "the copy is gone", ({ count, files }) => count.SegmentStore === 0 && files.picked > 0 && files.sent >= 3);
  await gatewayAheadBy(0);
  await page.getByRole("button", { name: /^Show / }).click();
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Select the files again" }).click();
  await (await chooser).setFiles(readdirSync(SERIES).map((name) => join(SERIES, name)));
  await page.getByText("The hospital has not been notified").waitFor({ timeout: 30_000 });
  assert.deepEqual(page.faults, []);
});

test("an account that is disabled with --wipe leaves nothing on its device", async () => {
  const said = await command(gateway, ["user", "add", "ada", "--role", "uploader", "--password-stdin"], "a good password\n");
  assert.equal(said.status, 0, said.err);
  const page = await inTheMiddle(gateway.url, { serviceWorkers: "block" }, (page) => signInAs(page, "ada", "a good password"));
  const done = await command(gateway, ["user", "disable", "ada", "--wipe"]);
  assert.equal(done.status, 0, done.err);
  open();
  await page.getByText("The hospital has removed 1 upload from this device").waitFor();
  await page.getByRole("heading", { name: "Send a study" }).waitFor();
  const now = await until(page, "rows and bytes are gone", ({ count }) => count.StudyStore + count.FileStore + count.SegmentStore + count.ChunkStore === 0);
  assert.equal(now.count.StudyStore, 0);
  await page.reload();
  await page.getByRole("button", { name: "OK" }).click();
  await page.getByText("The hospital has removed").waitFor({ state: "detached" });
});

test("an upload that is dropped with wipe is removed from its device, and from no other", async () => {
  const known = new Set((await gateway.call("/admin/uploads?limit=1000")).uploads.map((one) => one.upload_id));
  const page = await inTheMiddle(await gateway.qrLink(), { serviceWorkers: "block" }, (page) => page.getByRole("heading", { name: "Demo archive" }).waitFor());
  const [mine] = (await gateway.call("/admin/uploads?limit=1000")).uploads.filter((one) => !known.has(one.upload_id));
  await gateway.call(`/admin/uploads/${mine.upload_id}/drop`, { method: "POST", body: JSON.stringify({ reason: "the phone is lost", wipe: true }) });
  open();
  await page.getByText("The hospital has removed 1 upload from this device").waitFor();
  await until(page, "rows and bytes are gone", ({ count }) => count.StudyStore + count.FileStore + count.SegmentStore === 0);
});

test("locked after five minutes without a touch: no name on the screen, and the upload arrives", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.clock.install();
  open = await door(context);
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Turn on app lock" }).click();
  await page.getByLabel("New PIN").fill("274190");
  await page.getByLabel("Repeat the PIN").fill("274191");
  await page.getByRole("button", { name: "Turn on app lock" }).click();
  await page.getByText("The two PINs don't match.").waitFor();
  await page.getByLabel("Repeat the PIN").fill("274190");
  await page.getByRole("button", { name: "Turn on app lock" }).click();
  await page.getByText("After 5 minutes without activity the app asks for the PIN").waitFor();
  await page.getByRole("button", { name: "Back" }).click();
  await pickFolder(page);
  await send(page);
  await page.getByText(NAME).first().waitFor();
  await page.clock.fastForward("04:30");
  assert.equal(await page.getByRole("heading", { name: "Locked" }).count(), 0);
  await page.clock.fastForward("01:00");
  await page.getByRole("heading", { name: "Locked" }).waitFor();
  assert.ok(!(await page.content()).includes(NAME), "no name is left in the page");
  open();
  await until(page, "it arrived while locked", ({ count, files }) => count.SegmentStore === 0 && files.sent === FILES, 30_000);
  await page.reload();
  await page.getByRole("heading", { name: "Locked" }).waitFor();
  for (let wrong = 0; wrong < 5; wrong += 1) {
    await page.getByLabel("PIN", { exact: true }).fill("111111");
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByText("Wrong PIN.").waitFor();
    await page.locator("form button:not([disabled])").waitFor();
  }
  await page.getByText("Try again in 30 seconds.").waitFor();
  await page.getByLabel("PIN", { exact: true }).fill("274190");
  await page.getByRole("button", { name: "Unlock" }).click();
  await page.locator("form button:not([disabled])").waitFor();
  assert.equal(await page.getByRole("heading", { name: "Locked" }).count(), 1, "the right one, too early");
  await page.clock.fastForward("00:31");
  await page.getByLabel("PIN", { exact: true }).fill("274190");
  await page.getByRole("button", { name: "Unlock" }).click();
  await arrived(page);
  assert.deepEqual(page.faults, []);
});

test("everything is removed without a line, in every tab, with the workers running", async () => {
  const page = await inTheMiddle(gateway.url, {}, async (page) => {
    await page.evaluate(() => navigator.serviceWorker.ready);
    await signIn(page, gateway);
  });
  await page.evaluate(() => localStorage.setItem("language", "en"));
  const other = await openPage(context, gateway.url);
  await other.getByRole("heading", { name: "Uploads" }).waitFor();
  await context.setOffline(true);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Delete everything from this device" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete everything" }).click();
  for (const tab of [page, other]) {
    await tab.getByRole("heading", { name: "Everything was deleted" }).waitFor();
    assert.ok(!(await tab.content()).includes(NAME));
  }
  const left = () => page.evaluate(async () => {
    const registrations = await navigator.serviceWorker.getRegistrations();
    return [...(await indexedDB.databases()), ...(await caches.keys()), ...registrations, ...Object.keys(localStorage)].length;
  });
  await eventually("nothing is left", async () => (await left()) === 0);
  await context.setOffline(false);
  await page.getByRole("button", { name: "Start over" }).click();
  await page.getByRole("heading", { name: "Send a study" }).waitFor();
  assert.deepEqual([...page.faults, ...other.faults], []);
});

/** What the browser says once, when the app could be installed. */
const offer = () => {
  const offered = new Event("beforeinstallprompt", { cancelable: true });
  offered.prompt = async () => (globalThis.prompted = true);
  window.dispatchEvent(offered);
};

test("the screen stays on while it sends, a browser that keeps nothing is named, and installing is offered once", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.addInitScript(() => {
    navigator.storage.persist = navigator.storage.persisted = async () => false;
    globalThis.awake = [];
    const released = { released: false, release: async () => void awake.push("off") };
    Object.defineProperty(navigator, "wakeLock", { value: { request: async (what) => (awake.push(what), released) } });
  });
  open = await door(context);
  const page = await openPage(context, gateway.url);
  await page.evaluate(offer);
  await signIn(page, gateway);
  await pickFolder(page);
  await send(page);
  await page.getByText("This browser may delete queued images").waitFor();
  assert.deepEqual(await page.evaluate(() => awake), ["screen"]);
  assert.equal(await page.getByRole("heading", { name: "Install the app" }).count(), 0, "not while it sends");
  open();
  await arrived(page);
  await page.waitForFunction(() => awake.join() === "screen,off");
  await page.getByRole("heading", { name: "Install the app" }).waitFor();
  await page.getByRole("button", { name: "Not now" }).click();
  await page.reload();
  await arrived(page);
  await page.evaluate(offer);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Install" }).click();
  assert.equal(await page.evaluate(() => globalThis.prompted), true);
  await page.getByRole("button", { name: "Back" }).click();
  assert.equal(await page.getByRole("heading", { name: "Install the app" }).count(), 0);
  assert.deepEqual(page.faults, []);
});

test("the manifest's pictures are what it says they are", async () => {
  context = await browse({ serviceWorkers: "block" });
  const page = await openPage(context, gateway.url);
  const found = await page.evaluate(async () => {
    const manifest = await (await fetch(document.querySelector("link[rel=manifest]").href)).json();
    const sizes = [];
    for (const { src, sizes: said, type } of manifest.icons) {
      const answer = await fetch(src);
      const bitmap = type === "image/png" ? await createImageBitmap(await answer.blob()) : null;
      sizes.push([answer.status, answer.headers.get("Content-Type"), type, said, bitmap ? `${bitmap.width}x${bitmap.height}` : "any"]);
    }
    return { sizes, id: manifest.id, scope: manifest.scope, start: manifest.start_url, purposes: manifest.icons.map(({ purpose, sizes: said }) => `${purpose} ${said}`) };
  });
  for (const [status, type, saidType, said, is] of found.sizes) assert.deepEqual([status, type, is], [200, saidType, said]);
  // An app without an id is known by where it starts: at the top of an origin by "/", below a path by that path.
  assert.deepEqual([found.id, found.scope, found.start], [undefined, "./", "./"]);
  for (const needed of ["any 192x192", "any 512x512", "maskable 512x512"]) assert.ok(found.purposes.includes(needed), needed);
});

/** A service worker of the same app with a short slice: another address, so a newer version to the browser. */
const registerShort = () => navigator.serviceWorker.register("/sw.js?slice_ms=3000");

test("a new version waits for the person's word, and for files that need this page", async () => {
  context = await browse();
  const page = await openPage(context, gateway.url);
  await page.evaluate(() => navigator.serviceWorker.ready);
  await page.reload(); // from here on it is controlled
  await signIn(page, gateway);
  await pickFolder(page);
  await page.evaluate(registerShort);
  await page.getByText("A new version is ready. You can reload when these files are done.").waitFor();
  assert.equal(await page.getByRole("button", { name: "Reload" }).count(), 0);
  await page.getByRole("button", { name: "Back" }).click();
  const reloaded = page.waitForEvent("load");
  await page.getByRole("button", { name: "Reload" }).click();
  await reloaded;
  await page.getByRole("heading", { name: "Add images" }).waitFor();
  assert.match(await page.evaluate(() => navigator.serviceWorker.controller.scriptURL), /slice_ms=3000$/);
});

/** So slow that the large file doesn't go whole with its creation. */
const CREATION_MS = 300;

/**
 * The gateway, seen through a line on which PATCH takes its time; a service worker's requests can't be held up otherwise. It
 * doesn't say that it puts parts together: so the large file is one request, and keeps no other one waiting.
 */
async function slowLine(patch_ms) {
  const line = createServer((from, answer) => {
    if (from.method === "OPTIONS") return answer.writeHead(204, { "Tus-Resumable": "1.0.0", "Tus-Version": "1.0.0" }).end();
    const turn = setTimeout(() => {
      const { pathname: path, search } = new URL(from.url, gateway.url);
      const to = request(gateway.url, { path: path + search, method: from.method, headers: from.headers }, (told) => {
        answer.writeHead(told.statusCode, told.headers);
        told.pipe(answer);
      });
      to.on("error", () => answer.destroy());
      answer.on("close", () => to.destroy());
      from.pipe(to);
    }, from.method === "PATCH" ? patch_ms() : from.method === "POST" ? CREATION_MS : 0);
    turn.unref(); // one that nobody waits for any more keeps no test running
  }).listen(0, "127.0.0.1");
  await once(line, "listening");
  return { url: `http://127.0.0.1:${line.address().port}`, close: () => (line.closeAllConnections(), line.close()) };
}

test("the service worker stops before the browser stops it; the next page says so, and goes on by asking", async () => {
  let patch_ms = 60_000;
  const line = await slowLine(() => patch_ms);
  try {
    context = await browse();
    const page = await openPage(context, line.url);
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.evaluate(registerShort);
    const active = () => page.evaluate(async () => (await navigator.serviceWorker.getRegistration()).active.scriptURL);
    await eventually("the worker with the short slice is the active one", async () => (await active()).endsWith("slice_ms=3000"));
    await signIn(page, gateway);
    await pickFolder(page);
    await send(page);
    await until(page, "only the large file is left", ({ files }) => files.sent === FILES - 1);
    const [worker] = context.serviceWorkers().filter((one) => one.url().endsWith("slice_ms=3000"));
    await page.close();
    const asleep = async () => (await worker.evaluate(studies)).some((row) => row.slept_at);
    await eventually("it stops by itself", asleep);
    const asked = [];
    context.on("request", (one) => new URL(one.url()).pathname.startsWith("/files/") && asked.push(one.method()));
    const next = await openPage(context, line.url);
    await next.getByText(/Paused at .*\d\d:\d\d, when the app was closed/).waitFor();
    patch_ms = 0;
    await next.reload(); // what hangs on the slow line is cut
    await arrived(next);
    assert.equal(asked.filter((method) => method === "POST").length, 0, "no file is begun anew");
    assert.ok(asked.includes("HEAD"), "it asks where to go on");
  } finally {
    line.close();
  }
});
