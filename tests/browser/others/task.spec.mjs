// What people come for, in a browser that isn't Chromium: on a phone by a code, at a desk signed in.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Gateway, orthanc } from "../gateway.mjs";
import { AT_ONCE, LEAST_AT_ONCE, Line } from "../line.mjs";
import { BROWSER, filesOf, launch } from "./launch.mjs";
import { eventually } from "./tab.mjs";

/** So often in a row nothing more is written down, 50 ms apart: what was answered is written down within 100 ms. */
const QUIET_LOOKS = 5;

const gateway = new Gateway();
const browser = launch();
let line;
let tab;

before(async () => {
  await Promise.all([gateway.start(), browser.start()]);
  line = new Line(gateway);
  await line.start();
});
after(async () => {
  await browser.end();
  await line.end();
  await gateway.end();
});
beforeEach(() => orthanc.clear());
afterEach(async () => {
  line.fast();
  await tab?.close();
});

test(`${BROWSER}: by a code, on a phone, with a reload in the middle of it: every byte arrives, and nothing goes twice`, async () => {
  const { paths, bytes, digests } = filesOf(process.env.RELAYPACS_SERIES);
  tab = await browser.tab();
  await tab.size(360, 740);
  await tab.goto(line.over(await gateway.qrLink()));
  await tab.reads(/St\. Elsewhere, Radiology/);
  assert.equal(await tab.run("location.hash"), "", "the token is out of the address");
  await tab.pick(paths);
  await tab.reads(/Check before sending/);
  line.shut(0);
  await tab.click(/^Send \d/);
  // Right after the tap the queue is empty: what isn't in it yet isn't copied either.
  await eventually("all is copied", async () => (({ files, picked }) => files === paths.length && picked === 0)(await copied(tab)));
  line.shut(8); // while files are copied fewer may be under way
  // Mostly five; fewer for a while where some were given up meanwhile.
  await eventually("all that is under way waits", () => line.waiting >= LEAST_AT_ONCE && line.waiting <= AT_ONCE);
  // WebKit may keep the stores from everybody where a page goes while something is written there: not more often than needed.
  let [seen, times] = [-1, 0];
  await eventually("what was answered is written down", async () => {
    const { sent } = await copied(tab);
    [seen, times] = [sent, sent === seen ? times + 1 : 0];
    return times >= QUIET_LOOKS;
  });
  await tab.reload();
  assert.ok((await copied(tab)).sent < paths.length, "it was in the middle");
  line.fast();
  await tab.reads(/In the PACS of .+ since .*\d\d:\d\d/, 40_000);
  assert.deepEqual(await orthanc.digests(), digests);
  assert.ok(line.received <= bytes + line.piecesAtOnce, `${line.received} bytes for ${bytes}`);
  await eventually("no bytes are left on the device", async () => (await copied(tab)).segments === 0);
});

test(`${BROWSER}: signed in, at a desk, out of a ZIP and from a deflated file: every byte arrives`, async () => {
  tab = await browser.tab();
  await tab.size(1280, 900);
  await tab.goto(line.url);
  await tab.reads(/Sign in/);
  await tab.fill("User name", gateway.user);
  await tab.fill("Password", gateway.password);
  await tab.click(/^Sign in$/);
  await tab.reads(/Add images/);
  await tab.pick(filesOf(process.env.RELAYPACS_PACKED).paths);
  await tab.reads(/Check before sending/);
  await tab.click(/^Send \d/);
  await tab.reads(/In the PACS of .+ since .*\d\d:\d\d/, 40_000);
  assert.deepEqual(await orthanc.digests(), filesOf(process.env.RELAYPACS_UNPACKED).digests);
});

/** Files of the queue by their state, and the rows of their bytes. */
function copied(tab) {
  return tab.evaluate(async () => {
    const wait = (asked) => new Promise((done) => (asked.onsuccess = () => done(asked.result)));
    const db = await wait(indexedDB.open("relaypacs"));
    const files = await wait(db.transaction("FileStore").objectStore("FileStore").getAll());
    const segments = await wait(db.transaction("SegmentStore").objectStore("SegmentStore").count());
    db.close();
    const count = (state) => files.filter((one) => one.state === state).length;
    return { files: files.length, picked: count("picked"), sent: count("sent"), segments };
  });
}
