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
import { HELD, WITHOUT } from "./without.mjs";

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
  Object.assign(place, { without: "", scriptless: false, refused: { files: null, times: 0 } });
  await tab?.close();
  tab = null;
});

/** What the screen says, where it is lacking. */
const SAYS = {
  "no crypto.subtle": /can't run the app[^]*crypto\.subtle/,
  "no BroadcastChannel": /can't run the app[^]*BroadcastChannel/,
  "no navigator.locks": /can't run the app[^]*navigator\.locks/,
  "no IndexedDB": /can't run the app[^]*indexedDB/,
  "no HTTPS": /begins with https:/,
  "a store that is forbidden": /may not store anything/,
  "a store that is forbidden even to be named": /may not store anything/,
  "a store that doesn't open": /storage doesn't open[^]*UnknownError/,
  "a store on a full device": /device is full/,
  "a store of a newer app": /newer version of the app/,
  "a step that throws": /The app has stopped[^]*TypeError/,
};

describe(`${BROWSER}: a screen says what is the matter, and what helps, where there is`, () => {
  let one; // nothing of what it opens lasts
  before(async () => (one = await browser.tab()));
  after(() => one.close());

  for (const [what, says] of Object.entries(SAYS)) {
    test(what, async () => {
      place.without = WITHOUT[what];
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

test(`${BROWSER}: a store that somebody holds for ever says so, and what helps`, async () => {
  tab = await browser.tab();
  await tab.goto(place.url);
  await tab.reads(/Send a study/);
  place.without = HELD;
  await tab.goto(place.url);
  await tab.reads(/storage doesn't answer[^]*Nothing of it is lost[^]*Close the other tabs[^]*restart the browser/);
});

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

const WORDS = /assets\/en-/;
const SETTINGS = /assets\/settings-/;
const MISSING = /Part of the app didn't load/;

/** Some engines remember what they were refused until the page is loaded anew. */
async function asksAgain() {
  tab = await browser.tab();
  await tab.goto(place.url);
  await tab.reads(/Send a study/);
  place.refused = { files: /assets\/probe/, times: 2 };
  await tab.evaluate(async () => {
    for (let times = 0; times < 2; times += 1) await import("/assets/probe.js").catch(() => {});
  });
  await tab.close();
  return place.refused.times === 0;
}

test(`${BROWSER}: words that don't come at first are asked for once more; if they don't come then, that is said`, async () => {
  if (await asksAgain()) {
    tab = await browser.tab();
    place.refused = { files: WORDS, times: 1 };
    await tab.goto(place.url);
    await tab.reads(/Send a study/);
    await tab.close(); // it has them now
  }
  tab = await browser.tab();
  place.refused = { files: WORDS, times: 100 };
  await tab.goto(place.url);
  await tab.reads(MISSING);
  place.refused.times = 0;
  await tab.click(/^Reload$/);
  await tab.reads(/Send a study/);
});

// WebKit leaves a module that failed twice neither kept nor broken: there the app's own time limit ends the waiting.
if (BROWSER !== "webkit") {
  test(`${BROWSER}: a screen that doesn't come says so; it is there when it can be had, and the page is as it was`, async () => {
    const again = await asksAgain();
    tab = await browser.tab();
    place.refused = { files: SETTINGS, times: 100 };
    await tab.goto(place.url);
    await signIn();
    await tab.click(/^Settings$/);
    await tab.reads(MISSING);
    place.refused.times = 0;
    await tab.click(again ? /^Try again$/ : /^Reload$/);
    if (!again) {
      await tab.reads(/Add images/);
      await tab.click(/^Settings$/);
    }
    await tab.reads(/Language/);
  });
}

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
