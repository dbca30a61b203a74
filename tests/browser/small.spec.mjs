// Small things that a person meets all day: where the keyboard is, what the window is called, drops, stopping, copying.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { arrived, browse, closeAll, Gateway, openPage, pickFolder, send, SERIES, signIn } from "./stage.mjs";

const gateway = new Gateway();
let context;

before(() => gateway.start());
after(async () => {
  await closeAll();
  await gateway.end();
});
afterEach(() => context?.close());

/** Where the keyboard is, and what the window is called. */
const place = (page) => page.evaluate(() => [document.activeElement.localName, document.activeElement.textContent.trim(), document.title]);

/** A screen says where it is once it is painted: a moment after its words can be read. */
async function isAt(page, expected) {
  let found;
  const end = Date.now() + 2_000;
  do {
    found = await place(page);
  } while (!isDeepStrictEqual(found, expected) && Date.now() < end);
  assert.deepEqual(found, expected);
}

/** A drop of files on whatever the selector finds. */
async function drop(page, selector, names) {
  const files = names.map((name) => ({ name, data: readFileSync(join(SERIES, name)).toString("base64") }));
  return page.locator(selector).evaluate((element, files) => {
    const brought = new DataTransfer();
    for (const { name, data } of files) brought.items.add(new File([Uint8Array.from(atob(data), (char) => char.charCodeAt(0))], name));
    return ["dragover", "drop"].map((type) => {
      const event = new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: brought });
      element.dispatchEvent(event);
      return event.defaultPrevented;
    });
  }, files);
}

test("after signing in, opening and Send the keyboard is at the screen's heading, the window says which it is and names nobody", async () => {
  context = await browse({ serviceWorkers: "block", viewport: { width: 1280, height: 500 } });
  const page = await openPage(context, gateway.url);
  await page.getByLabel("User name").fill(gateway.user);
  await page.getByLabel("Password").fill(gateway.password);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Add images" }).waitFor();
  await isAt(page, ["h1", "Add images", "RelayPACS"]);
  await pickFolder(page);
  await isAt(page, ["h1", "Check before sending", "Check · RelayPACS"]);
  await page.getByRole("radio", { name: "STAT" }).check({ force: true });
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await send(page);
  assert.equal(await page.locator(".entry-open strong").textContent(), `Show ${process.env.RELAYPACS_PATIENT} STAT`, "a tag is a word of its own");
  await isAt(page, ["h1", "Add images", "RelayPACS"]);
  assert.equal(await page.evaluate(() => scrollY), 0, "the list begins at its beginning");
  await arrived(page);
  await page.getByRole("button", { name: /^Show / }).click();
  await page.getByRole("heading", { name: /^In the PACS/ }).waitFor();
  await page.waitForFunction(() => document.title === "Upload · RelayPACS" && document.activeElement.localName === "h1");
  await page.getByRole("button", { name: "Back" }).click();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByText("There are no copies of images on this device.").waitFor();
  await isAt(page, ["h1", "Settings", "Settings · RelayPACS"]);
});

test("forty studies: on a wide screen destination, priority and Send stay in sight; on a phone priority stands above the notes", async () => {
  context = await browse({ serviceWorkers: "block", viewport: { width: 1280, height: 700 } });
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page, join(process.env.RELAYPACS_PICKS, "many"));
  const [priority, button] = [page.getByRole("radio", { name: "STAT" }), page.getByRole("button", { name: /^Send 40 studies as Routine/ })];
  const inSight = async (one) => one.evaluate((element) => {
    const { top, bottom } = element.getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  });
  for (const where of ["at the top", "in the middle"]) {
    assert.deepEqual([await inSight(priority), await inSight(button)], [true, true], where);
    await page.evaluate(() => scrollTo(0, 1000));
  }
  await page.setViewportSize({ width: 360, height: 740 });
  const notes = page.getByText("Notes for the radiologist (optional)");
  assert.ok((await priority.boundingBox()).y < (await notes.boundingBox()).y);
  await priority.check({ force: true });
  await page.getByRole("button", { name: /^Send 40 studies as STAT/ }).waitFor();
});

test("files dropped beside the picker are picked; dropped elsewhere they are not opened in the app's place; looking can be stopped", async () => {
  context = await browse({ serviceWorkers: "block" });
  const page = await openPage(context, gateway.url);
  assert.deepEqual(await drop(page, "h1", readdirSync(SERIES).slice(0, 1)), [true, true]);
  await page.getByRole("heading", { name: "Send a study" }).waitFor();
  await signIn(page, gateway);
  await page.getByRole("button", { name: "Settings" }).click();
  assert.deepEqual(await drop(page, "h1", readdirSync(SERIES).slice(0, 1)), [true, true]);
  await page.getByRole("button", { name: "Back" }).click();
  // A file that is never read to its end: the looking lasts until somebody stops it.
  await page.evaluate(() => {
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (order, transfer) {
      if (order?.kind === "scan") globalThis.heldBack = () => postMessage.call(this, order, transfer);
      else postMessage.call(this, order, transfer ?? []);
    };
  });
  await drop(page, ".bar", readdirSync(SERIES).slice(0, 3));
  await page.getByText("0 of 3").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByRole("button", { name: "Choose files" }).waitFor();
  await page.evaluate(() => globalThis.heldBack());
  assert.equal(await page.getByRole("heading", { name: "Check before sending" }).count(), 0, "what was stopped brings nobody to a review");
  await drop(page, ".bar", readdirSync(SERIES).slice(0, 3));
  await page.evaluate(() => globalThis.heldBack());
  await page.getByText("3 images").first().waitFor();
  assert.deepEqual(page.faults, []);
});

test("the desk's list is asked again after its tab was hidden, and a refused clipboard shows the link", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.addInitScript(() => {
    Object.defineProperty(document, "hidden", { get: () => globalThis.away === true });
    navigator.clipboard.writeText = async () => Promise.reject(new DOMException("", "NotAllowedError"));
  });
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await page.clock.install();
  await page.getByRole("button", { name: "Create a QR code" }).click();
  await page.getByRole("button", { name: "Create the code" }).click();
  await page.getByRole("button", { name: "Copy the link" }).click();
  await page.getByText("Copying isn't allowed here.").waitFor();
  assert.match(await page.getByLabel("Link of the code").inputValue(), /#qr=/);
  await page.evaluate(() => (globalThis.away = true));
  await page.clock.fastForward("01:00");
  const asked = page.waitForRequest(/\/qr\?/);
  await page.evaluate(() => {
    globalThis.away = false;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.clock.fastForward("00:01");
  await asked;
  const again = page.waitForRequest(/\/qr\?/);
  await page.clock.fastForward("00:21");
  await again;
});
