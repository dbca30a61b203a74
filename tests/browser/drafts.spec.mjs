// A review that is left, by every way there is: what a person chose and wrote is there when they come back.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { browse, closeAll, command, Device, Gateway, openPage, pickFolder, signIn, stores, until } from "./stage.mjs";

const gateway = new Gateway();
const MANY = join(process.env.RELAYPACS_PICKS ?? "", "many");
const NOTE = "ZQWDRAFT fell from a ladder";
const WHO = "PICKING-TEST, Zoe";
let context;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
afterEach(() => context?.close());

const box = (page, name) => page.getByRole("checkbox", { name }).first();

/** One of forty, STAT, with a note. */
async function decide(page) {
  await page.getByRole("button", { name: "Select none" }).click();
  await box(page, WHO).check();
  await page.getByRole("radio", { name: "STAT" }).check({ force: true });
  await page.getByRole("textbox", { name: "Notes for the radiologist" }).fill(NOTE);
}

/** As it was left. @param files the page has them still */
async function asItWas(page, files = true) {
  await page.getByRole("heading", { name: "Check before sending" }).waitFor();
  await page.getByRole("button", { name: /^Send 1 study as STAT/, disabled: !files }).waitFor();
  assert.equal(await page.getByRole("textbox", { name: "Notes for the radiologist" }).inputValue(), NOTE);
  assert.equal(await box(page, WHO).isChecked(), true);
  assert.equal(await page.getByRole("checkbox", { checked: true }).count(), 1);
}

async function lockAndUnlock(page) {
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Turn on app lock" }).click();
  await page.getByLabel("New PIN").fill("274190");
  await page.getByLabel("Repeat the PIN").fill("274190");
  await page.getByRole("button", { name: "Turn on app lock" }).click();
  await page.getByRole("button", { name: "Lock now" }).click();
  await page.getByRole("heading", { name: "Locked" }).waitFor();
  assert.ok(!(await page.content()).includes(WHO), "no name is in a locked page");
  await page.getByLabel("PIN", { exact: true }).fill("274190");
  await page.getByRole("button", { name: "Unlock" }).click();
  await page.getByRole("button", { name: "Back" }).click();
}

async function kept(page) {
  const found = () => page.evaluate(async () => {
    const db = await new Promise((done) => (indexedDB.open("relaypacs").onsuccess = ({ target }) => done(target.result)));
    const keys = await new Promise((done) => (db.transaction("KeyStore").objectStore("KeyStore").getAllKeys().onsuccess = ({ target }) => done(target.result)));
    db.close();
    return keys.filter((name) => name.startsWith("draft|")).length;
  });
  return found();
}

test("settings, the lock, Back, another screen, a reload and SIGKILL: it comes back as it was, sealed, and is sent as decided", async () => {
  const device = new Device();
  try {
    let page = await openPage(await device.start(), gateway.url);
    await signIn(page, gateway);
    await pickFolder(page, MANY);
    await decide(page);
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Back" }).click();
    await asItWas(page);
    await lockAndUnlock(page);
    await asItWas(page);
    await page.goBack();
    await page.getByRole("heading", { name: "Not sent yet" }).waitFor();
    await page.getByText("40 studies · 1 selected").waitFor();
    await page.getByRole("button", { name: "Continue" }).click();
    await asItWas(page);
    assert.ok(!(await stores(page, true)).text.includes("ZQWDRAFT"), "sealed");
    await page.reload();
    await asItWas(page, false);
    await page.getByText("Your selection and notes are still here, but this page no longer has the files.").waitFor();
    await pickFolder(page, MANY);
    await asItWas(page);
    await device.kill();
    page = await openPage(await device.start(), gateway.url);
    await page.getByRole("button", { name: "Continue" }).click();
    await asItWas(page, false);
    await pickFolder(page, MANY);
    const opened = page.waitForRequest("**/upload/init");
    await page.getByRole("button", { name: /^Send 1 study as STAT/ }).click();
    const told = (await opened).postDataJSON();
    assert.deepEqual([told.study_metadata.priority, told.clinical_notes, told.study_metadata.patient_name], ["stat", NOTE, "PICKING-TEST^Zoe"]);
    await until(page, "one study is in the queue, and nothing is left of the draft", async ({ count }) => count.StudyStore === 1 && (await kept(page)) === 0);
    assert.deepEqual(page.faults, []);
  } finally {
    await device.end();
  }
});

test("it is nobody else's: signed out it is out of sight, and there again for whose it is; discarded, it is gone", async () => {
  const said = await command(gateway, ["user", "add", "ben", "--role", "uploader", "--password-stdin"], `${gateway.password}\n`);
  assert.equal(said.status, 0, said.err);
  context = await browse({ serviceWorkers: "block" });
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page, MANY);
  await decide(page);
  const signOut = async () => {
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
  };
  await signOut();
  assert.ok(!(await page.content()).includes("Not sent yet"));
  await signIn(page, gateway, "ben");
  assert.equal(await page.getByRole("heading", { name: "Not sent yet" }).count(), 0);
  await signOut();
  await signIn(page, gateway);
  await page.getByRole("button", { name: "Continue" }).click();
  await asItWas(page);
  await page.getByRole("button", { name: "Back" }).click();
  await page.getByRole("button", { name: "Discard" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click();
  await page.getByRole("heading", { name: "Add images" }).waitFor();
  await until(page, "nothing is kept of it", async () => (await kept(page)) === 0);
  await page.reload();
  await page.getByRole("heading", { name: "Add images" }).waitFor();
  assert.equal(await page.getByRole("heading", { name: "Not sent yet" }).count(), 0);
  assert.deepEqual(page.faults, []);
});
