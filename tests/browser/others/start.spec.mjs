// A browser that lacks what the app needs, or loses it: no page stays white, and what is the matter is said.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { after, afterEach, before, describe, test } from "node:test";
import { Gateway, PYTHON, ROOT } from "../gateway.mjs";
import { Lacking } from "./lacking.mjs";
import { BROWSER, launch } from "./launch.mjs";
import { eventually } from "./tab.mjs";

const gateway = new Gateway();
const browser = launch();
/** One whose owner lets no site store anything. */
const strict = BROWSER === "firefox" ? launch() : null;
const place = new Lacking(gateway);
let tab;

before(() => Promise.all([gateway.start(), browser.start(), strict?.start({ extraPrefsFirefox: { "network.cookie.cookieBehavior": 2 } })]));
before(() => place.start());
after(async () => {
  await Promise.all([browser.end(), strict?.end()]);
  await place.end();
  await gateway.end();
});
afterEach(async () => {
  Object.assign(place, { without: "", scriptless: false });
  await tab?.close();
  tab = null;
});

/** Each with what takes it away, and what the screen says then. */
const NEEDED = {
  "no crypto.subtle": ["Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });", /can't run the app[^]*crypto\.subtle/],
  "no BroadcastChannel": ["delete globalThis.BroadcastChannel;", /can't run the app[^]*BroadcastChannel/],
  "no navigator.locks": ["Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });", /can't run the app[^]*navigator\.locks/],
  "no IndexedDB": ["Object.defineProperty(globalThis, 'indexedDB', { value: undefined });", /can't run the app[^]*indexedDB/],
  "no HTTPS": [
    "Object.defineProperty(globalThis, 'isSecureContext', { value: false }); Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });",
    /begins with https:/,
  ],
  "a store that is forbidden": ["IDBFactory.prototype.open = () => { throw new DOMException('', 'SecurityError'); };", /may not store anything/],
  "a store that is forbidden even to be named": [
    "Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('', 'SecurityError'); } });",
    /may not store anything/,
  ],
  "a store that doesn't open": [failing("UnknownError"), /storage doesn't open[^]*UnknownError/],
  "a store on a full device": [failing("QuotaExceededError"), /device is full/],
  "a store of a newer app": [failing("VersionError"), /newer version of the app/],
};

function failing(name) {
  return `IDBFactory.prototype.open = () => {
    const request = new EventTarget();
    Object.setPrototypeOf(request, IDBOpenDBRequest.prototype);
    Object.defineProperty(request, "error", { value: new DOMException("", "${name}") });
    const listen = EventTarget.prototype.addEventListener;
    request.addEventListener = (kind, hear) => { if (kind === "error") queueMicrotask(() => hear(new Event("error"))); };
    return request;
  };`;
}

describe(`${BROWSER}: a screen says what is the matter, and what helps, where there is`, () => {
  let one; // nothing of what it opens lasts
  before(async () => (one = await browser.tab()));
  after(() => one.close());

  for (const [what, [without, says]] of Object.entries(NEEDED)) {
    test(what, async () => {
      place.without = without;
      await one.goto(place.url);
      await one.reads(says);
      await one.reads(/Reload/);
    });
  }
  test("scripts that don't come: the page says it by itself, later", async () => {
    place.scriptless = true;
    await one.goto(place.url);
    const seen = () => one.run("getComputedStyle(document.getElementById('late')).visibility");
    assert.equal(await seen(), "hidden");
    await one.run("document.getElementById('late').getAnimations()[0].finish()");
    assert.equal(await seen(), "visible");
    await one.reads(/RelayPACS doesn't start/);
  });
});

if (BROWSER === "firefox") {
  test("firefox: a browser that was told to store nothing says so", async () => {
    tab = await strict.tab();
    await tab.goto(gateway.url);
    await tab.reads(/may not store anything/);
  });
}

test(`${BROWSER}: without localStorage everything else goes on`, async () => {
  place.without = "Object.defineProperty(globalThis, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } });";
  tab = await browser.tab();
  await tab.goto(place.url);
  await signIn();
});

test(`${BROWSER}: a lost key is said; nothing is sealed with a new one, and what can't be read goes when a person says so`, async () => {
  tab = await browser.tab();
  await tab.goto(place.url);
  await signIn();
  await tab.evaluate(inStore, "delete", "device");
  await tab.reload();
  await tab.reads(/can't be read any more/);
  assert.deepEqual(await tab.evaluate(inStore, "getKey", "device"), null, "no new key");
  assert.notEqual(await tab.evaluate(inStore, "getKey", "session"), null, "what it had sealed is there");
  await tab.click(/^Remove what is stored here$/);
  await tab.click(/^Remove it$/);
  await tab.reads(/Send a study/);
  await signIn();
});

async function signIn() {
  await tab.reads(/User name/);
  await tab.fill("User name", gateway.user);
  await tab.fill("Password", gateway.password);
  await tab.click(/^Sign in$/);
  await tab.reads(/Add images/);
}

/** In the page: one row of KeyStore. */
async function inStore(act, name) {
  const wait = (asked) => new Promise((done, failed) => ((asked.onsuccess = () => done(asked.result)), (asked.onerror = () => failed(asked.error))));
  const db = await wait(indexedDB.open("relaypacs"));
  const found = await wait(db.transaction("KeyStore", "readwrite").objectStore("KeyStore")[act](name));
  db.close();
  return found ?? null;
}

const NONE = { "none at all": "delete globalThis.BarcodeDetector;" };
const BROKEN = {
  "one that throws": "globalThis.BarcodeDetector = class { static async getSupportedFormats() { return ['qr_code']; } async detect() { throw new Error('unavailable'); } };",
  "one that can't be made": "globalThis.BarcodeDetector = class { static getSupportedFormats() { throw new Error('unavailable'); } };",
  "one that finds nothing": "globalThis.BarcodeDetector = class { static async getSupportedFormats() { return ['qr_code']; } async detect() { return []; } };",
};

describe(`${BROWSER}: a code is read from a picture by a browser whose own detector is`, () => {
  for (const [what, without] of Object.entries({ ...NONE, ...(BROWSER === "chromium" && BROKEN) })) {
    test(what, async () => {
      place.without = without;
      tab = await browser.tab();
      await tab.goto(place.url);
      await tab.reads(/From a picture/);
      await tab.pickPicture(await pictureOf(place.here(await gateway.qrLink())));
      await tab.reads(/Demo archive/);
    });
  }
});

/** A bitmap file of a QR code, drawn by the gateway's own hand. */
async function pictureOf(link) {
  const path = join(gateway.folder, `${Math.random()}.png`);
  const drawing = spawn(PYTHON, ["-c", "import sys; from gateway.web.qr_picture import png; sys.stdout.buffer.write(png(sys.argv[1]))", link], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
  });
  writeFileSync(path, await buffer(drawing.stdout));
  return path;
}
