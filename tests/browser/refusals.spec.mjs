// What is refused, held, cancelled or not there: the screen says what happened and what to do, and nothing is lost.
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { AT_ONCE, Line } from "./line.mjs";
import { arrived, browse, closeAll, FILES, Gateway, openPage, orthanc, pickFolder, send, signIn, statuses, STUDY, until } from "./stage.mjs";

const CONTACT = "+00 000 0000";
const gateway = new Gateway();
let line;
let context;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
beforeEach(async () => {
  await orthanc.clear();
  line = new Line(gateway);
  await line.start();
  context = await browse({ serviceWorkers: "block" });
});
afterEach(async () => {
  await context.close();
  await line.end();
});

const packed = (held) => Buffer.from(JSON.stringify(held)).toString("base64url");

async function open(link = line.url) {
  return openPage(context, link);
}

/** A study on its way, slowly. */
async function sending(link, user = gateway.user) {
  const page = await open(link);
  if (!link) await signIn(page, gateway, user);
  line.slow();
  await pickFolder(page);
  await send(page);
  return page;
}

async function middle(page) {
  await until(page, "some files are sent, some aren't", ({ files }) => !files.picked && files.sent >= 3 && files.sent < FILES - AT_ONCE);
}

async function complete(page) {
  line.fast();
  await arrived(page);
  await until(page, "no bytes are left on the device", ({ count }) => count.SegmentStore === 0);
  assert.deepEqual(await orthanc.digests(), STUDY.digests);
  assert.deepEqual(page.faults, []);
}

/** All of it is still on the device. */
async function nothingLost(page) {
  const { files, count } = await until(page, "it is told", () => true);
  assert.equal(count.FileStore, FILES);
  assert.equal(files.picked, undefined);
  assert.ok(count.SegmentStore >= FILES);
}

async function unfinished() {
  const found = (await gateway.uploads()).filter((one) => ["open", "uploading", "held"].includes(one.state));
  assert.equal(found.length, 1);
  return found[0].upload_id;
}

/** On the screen; a screen reader hears it from a place of its own. */
async function says(page, words) {
  await page.getByText(words).first().waitFor();
}

const because = (reason) => ({ method: "DELETE", body: JSON.stringify({ reason }) });

test("the camera refused: a picture or the link does it too", async () => {
  const page = await open();
  await page.getByRole("button", { name: "Scan with the camera" }).click();
  await page.getByText("The camera can't be used here. Allow it in the browser's settings, take a picture of the code, or paste its link.").waitFor();
  await page.getByLabel("Link").fill(line.over(await gateway.qrLink()));
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByRole("heading", { name: "St. Elsewhere, Radiology" }).waitFor();
  assert.deepEqual(page.faults, []);
});

test("hostile and broken codes: each is named for what it is, and nothing goes to another server", async () => {
  const asked = [];
  context.on("request", (request) => asked.push(new URL(request.url())));
  const held = { endpoint_id: "main", upload_token: "rpq_forged", expires_at: "2999-01-01T00:00:00Z" };
  const page = await open();
  const broken = "This isn't a RelayPACS link, or only part of one. Scan the code again, or ask for a new one.";
  const spent = "This code has already been used or has expired. Ask for a new one.";
  for (const [link, words] of [
    [`https://elsewhere.example/#qr=${packed(held)}`, "This code is for another server, https://elsewhere.example. Nothing was sent to it."],
    [`${line.url}/#qr=${packed(held)}`, spent],
    [`${line.url}/#qr=%%%not-base64%%%`, broken],
    [`${line.url}/#qr=${packed(held).slice(0, -7)}`, broken],
    [`${line.url}/#qr=${packed({ ...held, upload_token: "x".repeat(100_000) })}`, broken],
    [`${line.url}/#qr=${packed({ ...held, upload_token: "rpq\r\nX-Evil: 1" })}`, broken],
    ["javascript:alert(1)#qr=e30", broken],
  ]) {
    await page.getByLabel("Link").fill(link);
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByRole("alert").getByText(words).waitFor();
  }
  assert.deepEqual([...new Set(asked.map(({ host }) => host))], [new URL(line.url).host]);
  assert.ok(asked.every(({ href }) => !href.includes("qr=")), "no code in an address that leaves the browser");
  assert.deepEqual(page.faults, []);
});

test("a broken code as a link: what is wrong is in sight", async () => {
  const page = await open(`${line.url}/#qr=broken`);
  const alert = page.getByRole("alert");
  await alert.waitFor();
  const { y, height } = await alert.boundingBox();
  assert.ok(y >= 0 && y + height <= 740, "without scrolling");
  assert.equal(new URL(page.url()).hash, "");
});

test("no room at the gateway when it begins: that is said, and a tap asks again at once", async () => {
  await gateway.restart({ RELAYPACS__SPOOL__MAX_BYTES: "2MiB" });
  const page = await sending();
  await says(page, `The gateway has no space right now. Nothing is lost; it is tried again automatically. If it is urgent, call ${CONTACT}.`);
  await nothingLost(page);
  await gateway.restart();
  await page.getByRole("button", { name: "Try again" }).click();
  await complete(page);
});

test("no room at the gateway in the middle: that is said, and it goes on by itself", async () => {
  const page = await sending();
  await middle(page);
  const full = { type: "about:blank", title: "full", status: 507, code: "spool_full" };
  for (let n = 0; n < 4; n += 1) void line.answer("POST", /^\/files/, 507, full);
  await says(page, "The gateway has no space right now.");
  await nothingLost(page);
  await complete(page);
});

test("an account that has reached a limit of the gateway: which, when it is tried again, and whom to call", async () => {
  await gateway.restart({ RELAYPACS__LIMITS__RESERVED_SHARE: "0.00001" });
  const page = await sending();
  await says(page, /^The unfinished uploads of this account or code take all the space it may use: finish or cancel some\. Nothing is lost; it is tried again automatically at .*\d\d:\d\d\. If it is urgent, call \+00 000 0000\.$/);
  await nothingLost(page);
  await gateway.restart();
  await page.getByRole("button", { name: "Try again" }).click();
  await complete(page);
});

test("files of another patient than the code is for: held, with whom to call; released, it arrives", async () => {
  const page = await sending(line.over(await gateway.qrLink({ expected: { patient_id: "SOMEBODY-ELSE" } })));
  line.fast();
  await says(page, `Held for review at St. Elsewhere, Radiology: someone there has to decide before anything goes to the PACS. Nothing is lost. Please call ${CONTACT}.`);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByRole("listitem").filter({ hasText: /patient/i }).first().waitFor();
  await nothingLost(page);
  assert.deepEqual(await orthanc.digests(), []);
  await gateway.call(`/admin/uploads/${await unfinished()}/release`, { method: "POST", body: JSON.stringify({ reason: "asked the ward" }) });
  await page.evaluate(() => window.dispatchEvent(new Event("online"))); // who comes back sees what is so now
  await says(page, "The hospital has not been notified");
  await page.getByRole("button", { name: "Back" }).click();
  await complete(page);
});

test("cancelled at the hospital in the middle: why, whom to call, and it can be sent again from the copy", async () => {
  const page = await sending(undefined, "colleague");
  await middle(page);
  await gateway.call(`/upload/${await unfinished()}`, because("Wrong hospital: please ask Dr. Example first"));
  await says(page, `Cancelled at the hospital. Call ${CONTACT} before you send it again.`);
  await nothingLost(page);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByText("Wrong hospital: please ask Dr. Example first").waitFor();
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByRole("button", { name: "Back" }).click();
  await complete(page);
});

test("cancelled, and come by a code: a new code sends it from the copy", async () => {
  const page = await sending(line.over(await gateway.qrLink()));
  await middle(page);
  await gateway.call(`/upload/${await unfinished()}`, because("The code went to the wrong ward"));
  await says(page, "You need a new code for that: ask the hospital for one.");
  await nothingLost(page);
  await page.goto(line.over(await gateway.qrLink()));
  await page.getByRole("button", { name: "Send with the new code" }).click();
  await complete(page);
});

test("another user's queue on the same machine: counted, not shown, not sent in another's name; who it is of goes on", async () => {
  const page = await open();
  await signIn(page, gateway);
  await page.getByRole("button", { name: "Settings" }).click(); // fetched now: here no service worker has it without a line
  await page.getByRole("button", { name: "Sign out" }).waitFor();
  await page.getByRole("button", { name: "Back" }).click();
  await pickFolder(page);
  line.cut();
  await send(page);
  await says(page, "No connection. Resumes automatically.");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  line.mend();
  await signIn(page, gateway, "colleague");
  await page.getByText("1 upload of another user is on this device.").waitFor();
  assert.equal(await page.getByText("BROWSER-TEST-PATIENT").count(), 0);
  const before = (await gateway.uploads()).length;
  await until(page, "it waits for the one it is of", async () => (await statuses(page)).includes("stopped"));
  assert.equal((await gateway.uploads()).length, before, "nothing was opened in the colleague's name");
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(page, gateway);
  await complete(page);
});
