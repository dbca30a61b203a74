// An upload survives what happens to lines, pages, browsers, gateways and answers: each arrives whole, in the PACS byte
// by byte, with at most one piece of each of five requests at once sent twice, and nothing left over on either side.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { AT_ONCE, LEAST_AT_ONCE, Line } from "./line.mjs";
import { arrived, BARE, browse, closeAll, Device, eventually, Gateway, LARGE, ONE, openPage, orthanc, pickFolder, send, signIn, STUDY, until } from "./stage.mjs";

const gateway = new Gateway();
let line;
let context;
let known;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
beforeEach(async () => {
  await orthanc.clear();
  known = new Set((await gateway.uploads()).map((one) => one.upload_id));
  line = new Line(gateway);
  await line.start();
});
afterEach(async () => {
  await context?.close().catch(() => undefined);
  await line.end();
});

/** What of browsers without service workers is no different is tried once. */
const fully = BARE ? () => undefined : test;

async function begin({ on, slowly = true, series = STUDY } = {}) {
  if (!on) context = await browse();
  const page = await openPage(on ?? context, line.url);
  await signIn(page, gateway);
  if (slowly) line.slow();
  await pickFolder(page, series.folder);
  await send(page);
  return page;
}

/** Some files are at the gateway, some aren't, and one is on its way. */
async function middle(page) {
  return until(page, "some files are sent, some aren't", ({ files }) => !files.picked && files.sent >= 3 && files.sent < STUDY.files - AT_ONCE);
}

/** All that is under way waits: mostly five, fewer for a while where some were given up. */
function held() {
  return eventually("all that is under way waits", () => line.waiting >= LEAST_AT_ONCE && line.waiting <= AT_ONCE);
}

async function upload() {
  const mine = (await gateway.uploads()).filter((one) => !known.has(one.upload_id));
  assert.equal(mine.length, 1, "one upload, whatever happened");
  return mine[0];
}

async function complete(page) {
  await arrived(page);
  const now = await until(page, "no bytes are left on the device", ({ count }) => count.SegmentStore === 0 && count.ChunkStore === 0);
  assert.deepEqual(now.files, { sent: STUDY.files }, "as many file rows as files");
  await whole();
  assert.deepEqual(page.faults, []);
}

async function whole(series = STUDY) {
  const { upload_id } = await upload();
  assert.equal((await gateway.files(upload_id)).length, series.files, "no orphan at the gateway");
  assert.deepEqual(await orthanc.digests(), series.digests, "byte by byte");
  const twice = line.received - series.bytes;
  assert.ok(twice >= 0 && twice <= line.piecesAtOnce, `${twice} bytes were sent twice, at most ${line.piecesAtOnce} may be`);
}

test("off the net and on again", async () => {
  const page = await begin();
  await middle(page);
  await context.setOffline(true);
  line.cut();
  await page.getByText("No connection. Resumes automatically.").first().waitFor();
  line.fast();
  line.mend();
  const sends = page.waitForRequest((request) => new URL(request.url()).pathname.startsWith("/files/"), { timeout: 2_000 });
  await Promise.all([sends, context.setOffline(false)]);
  await complete(page);
});

test("a reload, while nothing answers of all that may be under way at once", async () => {
  line.shut(0);
  const page = await begin({ slowly: false });
  await until(page, "all files are copied", ({ files }) => !files.picked);
  line.shut(8); // while files are copied fewer may be under way
  await held();
  await page.reload();
  line.fast();
  await complete(page);
});

fully("a STAT study goes first: what is under way ends with its piece, and goes on afterwards", async () => {
  line.shut(0);
  const page = await begin({ slowly: false, series: LARGE });
  await until(page, "all files are copied", ({ files }) => !files.picked);
  line.shut(3);
  await held();
  await pickFolder(page);
  await page.getByRole("radio", { name: "STAT" }).check({ force: true });
  await send(page);
  await eventually("the STAT study is open", async () => (await gateway.uploads()).length === known.size + 2);
  const before = line.pieces.length;
  line.fast();
  await eventually("the PACS has both", async () =>
    (await gateway.uploads()).filter((one) => !known.has(one.upload_id) && one.state === "success").length === 2);
  const sent = line.pieces.slice(before).filter(({ bytes }) => bytes > 0); // others only ask
  const routine = sent.map(({ bearer }) => bearer === line.pieces[0].bearer);
  const whole = routine.lastIndexOf(false) + 1;
  const between = routine.slice(0, whole).filter(Boolean).length;
  assert.ok(between <= AT_ONCE, `${between} pieces of the other one before all of the STAT study was sent`);
  assert.ok(routine.slice(whole).some(Boolean), "then the other one went on");
  assert.equal(line.received, LARGE.bytes + STUDY.bytes, "nothing went twice");
});

test("the browser killed, and started again", async () => {
  const device = new Device();
  try {
    const page = await begin({ on: await device.start() });
    await middle(page);
    await device.kill();
    line.fast();
    await complete(await openPage(await device.start(), line.url));
  } finally {
    await device.end();
  }
});

test("one large file goes over several connections, each byte once, through a cut and a reload", async () => {
  context = await browse();
  const page = await openPage(context, line.url);
  await signIn(page, gateway);
  line.slow({ rate: 300_000 });
  await pickFolder(page, ONE.folder);
  await send(page);
  await eventually("several parts have arrived", () => line.pieces.length > AT_ONCE + LEAST_AT_ONCE);
  assert.ok(line.mostAtOnce >= LEAST_AT_ONCE && line.mostAtOnce <= AT_ONCE, `${line.mostAtOnce} connections`);
  line.cut();
  await page.getByText("No connection. Resumes automatically.").first().waitFor();
  line.mend();
  const before = line.received;
  await eventually("it goes on", () => line.received > before + ONE.bytes / 20);
  await page.reload();
  line.fast();
  await arrived(page);
  await whole(ONE);
  assert.ok(line.received <= 1.1 * ONE.bytes, `${line.received} bytes for ${ONE.bytes}`);
  assert.deepEqual(page.faults, []);
});

fully("the gateway killed, and started again; the app's shell opens without it", async () => {
  context = await browse();
  const first = await openPage(context, line.url);
  await first.evaluate(() => navigator.serviceWorker.ready);
  await first.close();
  const page = await begin({ on: context });
  await middle(page);
  await gateway.kill();
  await page.reload();
  await page.getByText("No connection. Resumes automatically.").first().waitFor();
  line.fast();
  await gateway.start();
  await complete(page);
});

fully("upload tokens that end in the middle, one of them on its way", async () => {
  await gateway.restart({ RELAYPACS__TOKENS__UPLOAD_TTL: "2s" });
  try {
    const page = await begin();
    await middle(page);
    const refused = line.holdUp("POST", /^\/files/, 2500);
    await refused;
    line.fast();
    await complete(page);
  } finally {
    await gateway.restart();
  }
});

fully("the answer to opening the upload lost", async () => {
  const lost = line.lose("POST", /^\/upload\/init/);
  const page = await begin({ slowly: false });
  await lost;
  await complete(page);
});

test("the answers to the creation of three files lost", async () => {
  const lost = [1, 2, 3].map(() => line.lose("POST", /^\/files/));
  const page = await begin({ slowly: false });
  await Promise.all(lost);
  await complete(page);
});

fully("the answer to the completion lost", async () => {
  const lost = line.lose("POST", /\/complete$/);
  const page = await begin({ slowly: false });
  await lost;
  await complete(page);
});

fully("the last tab closed with 20 MB left: the service worker sends them", async () => {
  context = await browse();
  const first = await openPage(context, line.url);
  await first.evaluate(() => navigator.serviceWorker.ready);
  await first.close();
  const page = await begin({ on: context, series: LARGE });
  await until(page, "all files are copied, few are sent", ({ files }) => !files.picked && files.sent >= 1);
  assert.ok(LARGE.bytes - line.received > 20e6, `${LARGE.bytes - line.received} bytes are left`);
  await page.close();
  line.fast();
  await eventually("the PACS has all of it", async () => (await upload()).state === "success");
  await whole(LARGE);
  const again = await openPage(context, line.url);
  await arrived(again);
  await until(again, "no bytes are left on the device", ({ count }) => count.SegmentStore === 0);
});
