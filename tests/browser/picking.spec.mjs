// Picking and copying: CDs, ZIPs, forty studies, a full device, files that go away.
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { AT_ONCE, Line } from "./line.mjs";
import { arrived, browse, closeAll, door, eventually, FILES, Gateway, openPage, pickFolder, send, SERIES, signIn, stores, until } from "./stage.mjs";

const gateway = new Gateway();
const PICKS = process.env.RELAYPACS_PICKS ?? "";
const folder = mkdtempSync(join(tmpdir(), "relaypacs-picking-"));
let context;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => context?.close());

async function signedIn(options = {}) {
  context = await browse({ serviceWorkers: "block", ...options });
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  return page;
}

async function pickFiles(page, files, button = "Choose files") {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: button }).click();
  await (await chooser).setFiles(files);
}

/** The files that are left out and why, as they are listed. */
async function leftOut(page) {
  await page.getByText(/will not be sent/).click();
  const rows = await page.locator("details.left li").all();
  return Object.fromEntries(await Promise.all(rows.map((row) => row.locator("span").allTextContents())));
}

/** The files in the queue: id, state, address. */
function fileRows(page) {
  return page.evaluate(async () => {
    const wait = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
    const db = await wait(indexedDB.open("relaypacs"));
    const rows = await wait(db.transaction("FileStore").objectStore("FileStore").getAll());
    db.close();
    return rows.map(({ id, state, url }) => ({ id, state, url }));
  });
}

/** So many rows say so in the end. However long forty uploads take on this machine: none of them stands still for long. */
async function reaches(rows, wanted) {
  let last = { count: -1, at: 0 };
  for (;;) {
    const count = await rows.count();
    if (count >= wanted) return;
    if (count !== last.count) last = { count, at: Date.now() };
    assert.ok(Date.now() - last.at < 30_000, `${count} of ${wanted}, and no more for 30 s`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** Which of them a request is about: named where it is created, else known by its address; undefined: it was created just now. */
function fileOf(request, rows) {
  // A part of a file has its number behind it.
  const name = /file_id ([^,]+)/.exec(request.headers()["upload-metadata"] ?? "")?.[1];
  return name ? Buffer.from(name, "base64").toString().split("_")[0] : rows.find(({ url }) => url === request.url())?.id;
}

/** A browser that gives this origin so much. Told before it is asked the first time: it remembers its answer a while. */
async function signedInWithRoomFor(bytes) {
  context = await browse({ serviceWorkers: "block" });
  const devtools = await context.newCDPSession(await context.newPage());
  await devtools.send("Storage.overrideQuotaForOrigin", { origin: gateway.url, quotaSize: bytes });
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  return page;
}

test("a CD: what is no image is listed before sending, and an image that is there twice goes once", async () => {
  const page = await signedIn();
  await pickFolder(page, join(PICKS, "cd"));
  assert.deepEqual(await leftOut(page), {
    "cd/DICOMDIR": "a directory file (DICOMDIR), not an image",
    "cd/VIEWER/run.exe": "not DICOM",
    "cd/AUTORUN.INF": "not DICOM",
    "cd/EMPTY.TXT": "empty",
    "cd/DICOM/IM0": "selected twice: sent once",
  });
  await page.getByText("4 images").waitFor();
  await send(page);
  await arrived(page);
  assert.equal((await stores(page)).count.FileStore, 4);
});

test("a ZIP is looked into; one with a password, one that was cut off, and what lies are named", async () => {
  const page = await signedIn();
  const before = await gateway.instances();
  await pickFiles(page, ["good", "locked", "cut", "liar"].map((name) => join(PICKS, "zips", `${name}.zip`)));
  await page.getByRole("heading", { name: "Check before sending" }).waitFor();
  assert.deepEqual(await leftOut(page), {
    "good.zip/README.TXT": "not DICOM",
    "good.zip/inner.zip": "a ZIP inside a ZIP isn't opened: unpack it first",
    "locked.zip/secret.dcm": "in a ZIP with a password: unpack it first",
    "cut.zip": "damaged ZIP",
    "liar.zip/liar.dcm": "can't be read",
  });
  await send(page);
  await arrived(page);
  assert.equal((await gateway.instances()) - before, 6);
  assert.deepEqual(page.faults, []);
});

test("not DICOM at all, and nothing at all: both are said", async () => {
  const page = await signedIn();
  await pickFiles(page, [{ name: "letter.pdf", mimeType: "application/pdf", buffer: Buffer.from("%PDF-1.7") }]);
  await page.getByText("No DICOM images were found. 1 file will not be sent.").waitFor();
  await pickFiles(page, []);
  await page.getByText("No files were received. Choose them here.").waitFor();
});

for (const [name, viewport] of [["cards", { width: 360, height: 740 }], ["a table", { width: 1280, height: 900 }]]) {
  test(`forty studies: ${name}, one question about what contradicts itself, one confirmation`, async () => {
    const page = await signedIn({ viewport });
    await pickFolder(page, join(PICKS, "many"));
    assert.equal(await page.getByRole("table").count(), name === "a table" ? 1 : 0);
    await page.getByText("Patient ID P010 has different names: PICKING-TEST, Ana / PICKING-TEST, Maria.").waitFor();
    await page.getByText("Patient ID P020 has different birth dates: 1 Jan 1960 / 1 Jan 1961.").waitFor();
    await page.getByText("1 patient has no ID.").waitFor();
    await page.getByRole("button", { name: "Select none" }).click();
    await page.getByRole("button", { name: "Nothing selected" }).waitFor();
    await page.getByRole("checkbox", { name: "PICKING-TEST, Zoe" }).first().check();
    await page.getByRole("button", { name: /^Send 1 study/ }).waitFor();
    await page.getByRole("button", { name: "Select all" }).click();
    await page.getByRole("button", { name: /^Send 40 studies/ }).click();
    const seen = page.getByRole("checkbox", { name: "I have checked this. Send as is." });
    assert.equal(await seen.evaluate((box) => box === document.activeElement), true, "it asks first");
    await seen.check();
    if (name === "cards") return;
    await send(page);
    await until(page, "all are in the queue", ({ count }) => count.StudyStore === 40 && count.FileStore === 80);
    // The gateway holds the second of those that contradict what its PACS has by then.
    await reaches(page.locator(".how", { hasText: "In the PACS of Demo archive" }), 38);
    await reaches(page.locator(".how", { hasText: "Held for review at Demo archive" }), 2);
    assert.deepEqual(page.faults, []);
  });
}

test("no room for a copy: sent straight from the files, not a byte of them on the device", async () => {
  const page = await signedIn();
  await page.evaluate(() => (navigator.storage.estimate = async () => ({ quota: 1e8, usage: 9e7 })));
  await pickFolder(page);
  await page.getByRole("button", { name: /^Send \d/ }).click();
  await page.getByText("Not enough space on this device for a copy of these images").waitFor();
  const open = await door(context);
  await page.getByRole("button", { name: "Send directly from the files", exact: true }).click();
  await page.getByText("direct", { exact: true }).waitFor();
  await until(page, "some are sent", ({ files }) => files.sent >= 3);
  assert.equal((await stores(page)).count.SegmentStore, 0);
  open();
  await arrived(page);
  assert.deepEqual((await stores(page)).files, { sent: FILES });
});

test("a reload in the middle of sending directly asks for the same files, and what was sent stays sent", async () => {
  const page = await signedIn();
  await page.evaluate(() => (navigator.storage.estimate = async () => ({ quota: 1e8, usage: 9e7 })));
  page.on("dialog", (dialog) => dialog.accept());
  const open = await door(context);
  await pickFolder(page);
  await page.getByRole("button", { name: /^Send \d/ }).click();
  await page.getByRole("button", { name: "Send directly from the files", exact: true }).click();
  await until(page, "some are sent, some aren't", ({ files }) => files.sent >= 3 && files.sent < FILES - AT_ONCE);
  await page.reload();
  open();
  await page.getByText("Select the same files again").first().waitFor();
  const rows = await fileRows(page);
  const left = rows.filter(({ state }) => state !== "sent").map(({ id }) => id);
  assert.ok(left.length > 0 && left.length <= FILES - 3);
  await page.getByRole("button", { name: /^Show / }).click();
  const asked = new Set();
  page.on("request", (request) => request.url().includes("/files/") && asked.add(fileOf(request, rows)));
  await pickFiles(page, SERIES, "Select the folder again");
  await page.getByRole("heading", { name: /^In the PACS of/ }).waitFor({ timeout: 30_000 });
  assert.deepEqual([...asked].filter(Boolean).sort(), left.sort(), "nothing is asked or told of a file that was sent");
  assert.equal((await stores(page)).count.SegmentStore, 0);
});

test("two tabs that send directly hold five connections together: a page that is loaded meanwhile doesn't wait for them", async () => {
  const line = new Line(gateway);
  await line.start();
  line.shut(0);
  try {
    context = await browse({ serviceWorkers: "block" });
    const known = (await gateway.uploads()).length;
    const tabs = [];
    for (const [number, series] of [SERIES, join(PICKS, "many", "000")].entries()) {
      const page = await openPage(context, line.url);
      if (number === 0) await signIn(page, gateway);
      await page.evaluate(() => (navigator.storage.estimate = async () => ({ quota: 1e8, usage: 9e7 })));
      await pickFolder(page, series);
      await page.getByRole("button", { name: /^Send \d/ }).click();
      await page.getByRole("button", { name: "Send directly from the files", exact: true }).click();
      await eventually("its upload is open", async () => (await gateway.uploads()).length > known + number);
      await eventually("what may be under way is", () => line.waiting >= AT_ONCE);
      tabs.push(page);
    }
    await openPage(context, line.url);
    assert.equal(line.waiting, AT_ONCE);
    line.fast();
    for (const page of tabs) await reaches(page.locator(".how", { hasText: "In the PACS of Demo archive" }), tabs.length);
  } finally {
    await line.end();
  }
});

test("the device is full in the middle of copying: nothing is lost, and it goes on straight from the files", async () => {
  const page = await signedInWithRoomFor(3e6);
  await page.evaluate(() => (navigator.storage.estimate = async () => ({})));
  await pickFolder(page);
  await send(page);
  await page.getByText("There was no space for a copy of 1 upload.").waitFor();
  await page.getByText(/^Not enough space on this device for a copy of the images/).waitFor();
  await page.getByRole("button", { name: "Send directly from the files", exact: true }).click();
  await arrived(page);
  assert.deepEqual((await stores(page)).files, { sent: FILES });
  assert.deepEqual(page.faults, []);
});

test("a file that goes away between choosing and copying is named, and can be left out", async () => {
  const page = await signedIn();
  const own = join(folder, "goes");
  mkdirSync(own);
  const files = Array.from({ length: 3 }, (_, number) => join(own, `${number}.dcm`));
  for (const [number, file] of files.entries()) copyFileSync(join(SERIES, `000${number}.dcm`), file);
  await pickFiles(page, files);
  await page.getByRole("heading", { name: "Check before sending" }).waitFor();
  unlinkSync(files[1]);
  writeFileSync(files[2], "changed");
  await send(page);
  await page.getByText(/some can't be read any more/).first().waitFor();
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByText("Files (3)").click();
  await page.getByText("can't be read any more: select it again").nth(1).waitFor();
  await page.getByRole("button", { name: "Send without the missing files" }).click();
  await page.getByRole("heading", { name: /^In the PACS of/ }).waitFor({ timeout: 30_000 });
});

test("cancelled while it is being copied: no byte of it stays", async () => {
  const page = await signedIn();
  const open = await door(context, 0);
  await pickFolder(page);
  await send(page);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByRole("button", { name: "Cancel upload" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel upload" }).click();
  await page.getByText("Cancelled").waitFor();
  open();
  await until(page, "no bytes are left", ({ count }) => count.SegmentStore === 0);
});

test("the browser won't promise to keep the data: it is sent all the same, and Settings says so", async () => {
  const page = await signedIn();
  await page.evaluate(() => (navigator.storage.persist = async () => false));
  await pickFolder(page);
  await send(page);
  await arrived(page);
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByText("The browser may delete them when storage runs low.").waitFor();
});
