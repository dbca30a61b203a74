import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { AT_ONCE } from "./line.mjs";
import { arrived, browse, closeAll, Device, door, FILES, Gateway, openPage, pickFolder, send, signIn, stores, until } from "./stage.mjs";

const gateway = new Gateway();
let context;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
afterEach(() => context?.close());

async function middle(page) {
  return until(page, "some files are sent, some aren't", ({ files }) => files.sent >= 3 && files.sent < FILES - AT_ONCE);
}

async function complete(page) {
  await arrived(page);
  const now = await until(page, "no bytes are left on the device", ({ count }) => count.SegmentStore === 0 && count.ChunkStore === 0);
  assert.equal(now.count.FileStore, FILES, "as many file rows as files");
  assert.deepEqual(now.files, { sent: FILES });
  assert.deepEqual(page.faults, []);
}

test("a link from a QR code to the receipt, in at most five taps, with nothing left on the device", async () => {
  context = await browse();
  let taps = 0;
  const tap = async (what) => ((taps += 1), what());
  const page = await openPage(context, await gateway.qrLink());
  await page.getByRole("heading", { name: "Demo archive" }).waitFor();
  assert.equal(new URL(page.url()).hash, "", "the token is out of the address");
  assert.equal(await page.evaluate(() => history.length <= 2 && !JSON.stringify(history.state ?? "").includes("rpq_")), true);
  await tap(() => pickFolder(page));
  await tap(() => send(page));
  assert.ok(taps <= 5);
  await arrived(page);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByText("The hospital has not been notified").waitFor();
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save the receipt" }).click();
  assert.match((await download).suggestedFilename(), /^receipt-[0-9a-f]+\.jws$/);
  await complete(page);
  assert.equal(await gateway.instances(), FILES);
});

test("a code that was used says so", async () => {
  context = await browse();
  const link = await gateway.qrLink();
  const token = JSON.parse(Buffer.from(new URL(link).hash.slice(4), "base64url")).upload_token;
  const answer = await fetch(`${gateway.url}/upload/init`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ study_metadata: {}, total_files: 1, total_size_bytes: 1 }),
  });
  assert.equal(answer.status, 201);
  const page = await openPage(context, link);
  await page.getByText("This code has already been used").waitFor();
});

test("notes typed before sending lie in the study for the radiologist, and on the device for nobody", async () => {
  context = await browse({ serviceWorkers: "block" });
  const open = await door(context);
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page);
  await page.getByRole("textbox", { name: "Notes for the radiologist" }).fill("Fell from a ladder.\nRule out bleeding. 頭痛");
  await send(page);
  await middle(page);
  assert.ok(!(await stores(page, true)).text.includes("Rule out"), "sealed in the queue");
  await page.reload();
  open();
  await complete(page);
  assert.deepEqual([...new Set(await gateway.notes())], ["Fell from a ladder.\r\nRule out bleeding. 頭痛"]);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.locator("summary", { hasText: "Notes for the radiologist" }).click();
  await page.getByText("Rule out bleeding.").waitFor();
});

test("the browser keeps no notes for its next start, though it keeps what else was typed", async () => {
  const device = new Device();
  try {
    const page = await openPage(await device.start(), gateway.url);
    await signIn(page, gateway);
    await pickFolder(page);
    await page.getByRole("textbox", { name: "Notes for the radiologist" }).fill("ZQWTYPEDNOTE");
    await page.locator("summary", { hasText: "Who is sending?" }).click();
    await page.getByLabel("Your name").fill("ZQWTYPEDNAME");
    await page.goto("about:blank");
    while (!device.keeps("ZQWTYPEDNAME")) await new Promise((done) => setTimeout(done, 100));
    assert.equal(device.keeps("ZQWTYPEDNOTE"), false);
  } finally {
    await device.end();
  }
});

test("a hospital that takes no notes any more gets the images without them, once a person says so", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.route("**/upload/init", (route) =>
    route.request().postDataJSON().clinical_notes === undefined
      ? route.continue()
      : route.fulfill({ status: 422, contentType: "application/problem+json", body: JSON.stringify({ status: 422, code: "notes_not_delivered" }) }));
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page);
  await page.getByRole("textbox", { name: "Notes for the radiologist" }).fill("Fell from a ladder.");
  await send(page);
  await page.getByText("This hospital doesn't accept notes with the images.").first().waitFor();
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByRole("button", { name: "Send without the notes" }).click();
  await complete(page);
});

test("paused, nothing is sent; resumed, it arrives", async () => {
  context = await browse({ serviceWorkers: "block" });
  const open = await door(context);
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page);
  await send(page);
  await middle(page);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused").waitFor();
  const sent = (await stores(page)).files.sent;
  open();
  await new Promise((done) => setTimeout(done, 800));
  assert.ok((await stores(page)).files.sent <= sent + AT_ONCE, "only what was on its way");
  await page.getByRole("button", { name: "Resume" }).click();
  await complete(page);
});

test("cancelled: the gateway forgets it, and the device too", async () => {
  context = await browse({ serviceWorkers: "block" });
  const open = await door(context);
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page);
  await send(page);
  await middle(page);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByRole("button", { name: "Cancel upload" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel upload" }).click();
  await page.getByText("Cancelled").waitFor();
  open();
  await until(page, "no bytes are left on the device", ({ count }) => count.SegmentStore === 0);
  const uploads = (await gateway.call("/admin/uploads?limit=1000")).uploads;
  assert.equal(uploads.filter((one) => one.state === "cancelled").length, 1);
});

test("a code is read from a picture, by the bundled decoder where the browser has none", async () => {
  const link = await gateway.qrLink();
  context = await browse({ serviceWorkers: "block" });
  const issuer = await openPage(context, gateway.url);
  await signIn(issuer, gateway);
  await issuer.getByRole("button", { name: "Create a QR code" }).click();
  await issuer.getByRole("button", { name: "Create the code" }).click();
  const picture = await issuer.getByAltText("QR code with the upload link").screenshot();
  await context.close();
  context = await browse({ serviceWorkers: "block" });
  await context.addInitScript(() => delete globalThis.BarcodeDetector);
  const page = await openPage(context, gateway.url);
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "From a picture" }).click();
  await (await chooser).setFiles({ name: "code.png", mimeType: "image/png", buffer: picture });
  await page.getByRole("heading", { name: "Demo archive" }).waitFor();
  await page.getByRole("button", { name: "Discard this code" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Discard this code" }).click();
  await page.getByLabel("Link").fill(link.replace(gateway.url, "https://elsewhere.example"));
  await page.getByRole("button", { name: "Open" }).click();
  await page.getByText("This code is for another server, https://elsewhere.example.").waitFor();
  assert.deepEqual(page.faults, []);
});
