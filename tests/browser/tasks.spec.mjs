// Five things that people come for, with the taps that they cost; a field that is filled in is one, the system's picker
// and what is done in it are none.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { arrived, browse, closeAll, Gateway, openPage, orthanc, pickFolder, STUDY, stores, until } from "./stage.mjs";

const gateway = new Gateway();
let context;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
beforeEach(() => orthanc.clear());
afterEach(() => context?.close());

class Finger {
  taps = 0;

  constructor(page) {
    this.page = page;
  }

  async tap(role, name) {
    this.taps += 1;
    await this.page.getByRole(role, { name }).click();
  }

  async fill(label, text) {
    this.taps += 1;
    await this.page.getByLabel(label).fill(text);
  }

  async choose(label, option) {
    this.taps += 2;
    await this.page.getByLabel(label).selectOption({ label: option });
  }

  async folder() {
    this.taps += 1;
    await pickFolder(this.page);
  }

  async signIn() {
    await this.fill("User name", gateway.user);
    await this.fill("Password", gateway.password);
    await this.tap("button", "Sign in");
    await this.page.getByRole("heading", { name: "Add images" }).waitFor();
  }
}

async function openApp(url = gateway.url) {
  const page = await openPage(context, url);
  return { page, finger: new Finger(page) };
}

async function newest() {
  return (await gateway.uploads()).sort((a, b) => (a.created_at < b.created_at ? 1 : -1))[0];
}

async function nothingLeft(page) {
  await until(page, "no bytes are left on the device", ({ count }) => count.SegmentStore === 0 && count.ChunkStore === 0);
  assert.deepEqual(page.faults, []);
}

test("a link from a QR code, to sent: two taps; every byte in Orthanc, the receipt on the screen, nothing left on the device", async () => {
  context = await browse();
  const { page, finger } = await openApp(await gateway.qrLink());
  await page.getByRole("heading", { name: "St. Elsewhere, Radiology" }).waitFor();
  await finger.folder();
  await finger.tap("button", /^Send \d/);
  assert.ok(finger.taps <= 5);
  assert.equal(finger.taps, 2);
  await arrived(page);
  assert.deepEqual(await orthanc.digests(), STUDY.digests);
  await finger.tap("button", /^Show /);
  await page.getByText("The hospital has not been notified. Please call +00 000 0000.").waitFor();
  await page.getByText("confirmed by querying the PACS").waitFor();
  await nothingLeft(page);
});

test("signing in and sending a folder: five taps", async () => {
  context = await browse();
  const { page, finger } = await openApp();
  await finger.signIn();
  await finger.folder();
  await finger.tap("button", /^Send \d/);
  assert.equal(finger.taps, 5);
  await arrived(page);
  assert.deepEqual(await orthanc.digests(), STUDY.digests);
  await nothingLeft(page);
});

test("whether yesterday's study has arrived, and its receipt: two taps, with every token of yesterday over", async () => {
  context = await browse({ serviceWorkers: "block" });
  const yesterday = await openApp();
  await yesterday.finger.signIn();
  await yesterday.finger.folder();
  await yesterday.finger.tap("button", /^Send \d/);
  await until(yesterday.page, "all of it is at the gateway", ({ files, count }) => files.sent === STUDY.files && count.StudyStore === 1);
  await yesterday.page.close();
  await gateway.restart({ RELAYPACS__TOKENS__SECRET: "another night, another secret: no token of before is good" });
  const { page, finger } = await openApp();
  await arrived(page);
  await finger.tap("button", /^Show /);
  const saved = page.waitForEvent("download");
  await finger.tap("button", "Save the receipt");
  assert.match((await saved).suggestedFilename(), /^receipt-[0-9a-f]+\.jws$/);
  assert.equal(finger.taps, 2);
  await nothingLeft(page);
});

test("cancelling one: three taps, and the gateway and the device forget it", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.route("**/files/**", async (route) => {
    await new Promise((done) => setTimeout(done, 300));
    await route.continue().catch(() => undefined);
  });
  const sending = await openApp();
  await sending.finger.signIn();
  await sending.finger.folder();
  await sending.finger.tap("button", /^Send \d/);
  await until(sending.page, "some files are sent", ({ files }) => files.sent > 2);
  const finger = new Finger(sending.page);
  await finger.tap("button", /^Show /);
  await finger.tap("button", "Cancel upload");
  finger.taps += 1;
  await sending.page.getByRole("dialog").getByRole("button", { name: "Cancel upload" }).click();
  await sending.page.getByText("Cancelled", { exact: true }).waitFor();
  assert.equal(finger.taps, 3);
  assert.equal((await newest()).state, "cancelled");
  assert.deepEqual(await orthanc.digests(), []);
  await nothingLeft(sending.page);
});

test("sending to somebody, STAT: five taps for who is signed in", async () => {
  context = await browse();
  const first = await openApp();
  await first.finger.signIn();
  const finger = new Finger(first.page);
  await finger.folder();
  await finger.choose("Send to", "Trauma centre");
  finger.taps += 1;
  await first.page.getByRole("radio", { name: "STAT" }).check();
  const opened = first.page.waitForRequest("**/upload/init");
  await finger.tap("button", /^Send \d/);
  assert.equal(finger.taps, 5);
  assert.equal((await opened).postDataJSON().study_metadata.priority, "stat");
  await first.page.getByText(/^In the PACS of Trauma centre since/).waitFor();
  assert.equal((await newest()).endpoint_id, "trauma");
  assert.deepEqual(await orthanc.digests(), STUDY.digests);
  assert.equal((await stores(first.page)).count.SegmentStore, 0);
});
