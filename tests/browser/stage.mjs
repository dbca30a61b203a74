// Debian's Chromium before a gateway, and what the tests ask of the app: known by its screens and its IndexedDB only.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "../node/node_modules/playwright-core/index.mjs";
import { sha256 } from "./gateway.mjs";

export { command, freePort, Gateway, orthanc, PYTHON, ROOT } from "./gateway.mjs";

export const CHROMIUM = process.env.RELAYPACS_CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(CHROMIUM)) {
  throw new Error(`there is no ${CHROMIUM}: apt-get install --no-install-recommends chromium, or name another with RELAYPACS_CHROMIUM`);
}

class Series {
  constructor(folder) {
    this.folder = folder;
    const all = readdirSync(folder).filter((name) => name.endsWith(".dcm")).map((name) => readFileSync(join(folder, name)));
    this.files = all.length;
    this.bytes = all.reduce((sum, one) => sum + one.length, 0);
    this.digests = all.map(sha256).sort();
  }
}

/** DICOM files of one patient, made by whoever started the tests. */
export const SERIES = process.env.RELAYPACS_SERIES ?? "";
export const STUDY = SERIES ? new Series(SERIES) : null;
export const FILES = STUDY?.files;
/** Another patient's, which take a while. */
export const LARGE = process.env.RELAYPACS_LARGE_SERIES && new Series(process.env.RELAYPACS_LARGE_SERIES);
/** A patient of one large file. */
export const ONE = process.env.RELAYPACS_ONE_LARGE && new Series(process.env.RELAYPACS_ONE_LARGE);

/** As in browsers that have no Background Sync, QR codes, folders and wake locks, with service workers blocked. */
export const BARE = Boolean(process.env.RELAYPACS_BARE);

const LAUNCH = { executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] };
const PHONE = { viewport: { width: 360, height: 740 }, locale: "en-GB", ...(BARE && { serviceWorkers: "block" }) };
let browser;

/** A device of its own: nothing is shared with another context. */
export async function browse(options = {}) {
  browser ??= await chromium.launch(LAUNCH);
  return bare(await browser.newContext({ ...PHONE, ...options }));
}

async function bare(context) {
  if (BARE) {
    await context.addInitScript(() => {
      delete globalThis.SyncManager;
      delete globalThis.BarcodeDetector;
      delete HTMLInputElement.prototype.webkitdirectory;
      delete Navigator.prototype.wakeLock;
    });
  }
  return context;
}

/** A browser with a profile on the disk, which can be killed and started again. */
export class Device {
  profile = mkdtempSync(join(tmpdir(), "relaypacs-profile-"));

  async start() {
    this.context = await bare(await chromium.launchPersistentContext(this.profile, { ...LAUNCH, ...PHONE }));
    return this.context;
  }

  /** Whether the browser's own files for its next start (what was open, what was typed) hold a text. */
  keeps(text) {
    const folder = join(this.profile, "Default/Sessions");
    if (!existsSync(folder)) return false;
    return readdirSync(folder).map((name) => readFileSync(join(folder, name))).some((kept) => kept.includes(text) || kept.includes(Buffer.from(text, "utf16le")));
  }

  /** SIGKILL to every process that has this profile. */
  async kill() {
    for (const pid of this.#pids()) process.kill(pid, "SIGKILL");
    while (this.#pids().length > 0) await new Promise((done) => setTimeout(done, 20));
  }

  #pids() {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(this.profile);
      } catch {
        return false; // it has ended meanwhile
      }
    }).map(Number);
  }

  async end() {
    await this.context?.close().catch(() => undefined);
    await this.kill();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

export async function closeAll() {
  await browser?.close();
}

/** A page that must stay without errors of its own. */
export async function openPage(context, url) {
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("console", (message) => /Content Security Policy|Uncaught/.test(message.text()) && page.faults.push(message.text()));
  await page.goto(url);
  return page;
}

export async function signIn(page, gateway, user = gateway.user) {
  await page.getByLabel("User name").fill(user);
  await page.getByLabel("Password").fill(gateway.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Add images" }).waitFor();
}

export async function pickFolder(page, folder = SERIES) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: BARE ? "Choose files" : "Choose a folder" }).click();
  await (await chooser).setFiles(BARE ? readdirSync(folder).map((name) => join(folder, name)) : folder);
  await page.getByRole("heading", { name: "Check before sending" }).waitFor();
}

export async function send(page) {
  await page.getByRole("button", { name: /^Send \d/ }).click();
  await page.getByRole("heading", { name: "Uploads" }).waitFor();
}

/** What was to be seen instead is in the failure. */
export async function arrived(page, within = 30_000) {
  const there = page.getByText(/^In the PACS of .+ since .*\d\d:\d\d/).first();
  await there.waitFor({ timeout: within }).catch(async (error) => {
    throw new Error(`${error.message}\nThe screen said:\n${await page.locator("body").innerText()}`, { cause: error });
  });
}

/**
 * The first few files pass, whatever they need; then every request that brings files waits until it is opened: something can
 * happen in the middle. Files come in any order: the parts of a large one aren't counted.
 */
export async function door(context, first = 6) {
  let open;
  const opened = new Promise((done) => (open = done));
  await context.route("**/files/**", async (route) => {
    const asked = route.request();
    if (first <= 0) await opened;
    else if (asked.method() === "POST" && !asked.headers()["upload-concat"]) first -= 1;
    await route.continue().catch(() => undefined);
  });
  return open;
}

/** Rows per store and states of files; with `reading` also whatever can be read in the stores as they lie there. */
export function stores(page, reading = false) {
  return page.evaluate(async (reading) => {
    const wait = (request) => new Promise((done, failed) => ((request.onsuccess = () => done(request.result)), (request.onerror = () => failed(request.error))));
    const db = await wait(indexedDB.open("relaypacs"));
    const found = { count: {}, files: {}, text: "" };
    const text = (value) =>
      value instanceof ArrayBuffer ? new TextDecoder("latin1").decode(value)
      : ArrayBuffer.isView(value) ? new TextDecoder("latin1").decode(value)
      : value && typeof value === "object" ? Object.entries(value).map(([key, one]) => key + text(one)).join("\n")
      : String(value);
    for (const name of db.objectStoreNames) {
      const store = db.transaction(name).objectStore(name);
      found.count[name] = await wait(store.count());
      if (!reading && name !== "FileStore") continue;
      const rows = await wait(store.getAll());
      if (name === "FileStore") for (const row of rows) found.files[row.state] = (found.files[row.state] ?? 0) + 1;
      if (reading) found.text += rows.map(text).join("\n");
    }
    db.close();
    return found;
  }, reading);
}

/** Wait until the queue on the device is as wanted. */
export async function until(page, what, wanted, within = 20_000) {
  const end = Date.now() + within;
  for (;;) {
    const now = await stores(page);
    if (await wanted(now)) return now;
    if (Date.now() > end) throw new Error(`it did not happen in time: ${what}; ${JSON.stringify({ ...now, text: "" })}`);
    await new Promise((done) => setTimeout(done, 60));
  }
}

/** How the studies in the queue stand. */
export function statuses(page) {
  return page.evaluate(async () => {
    const wait = (request) => new Promise((done, failed) => ((request.onsuccess = () => done(request.result)), (request.onerror = () => failed(request.error))));
    const db = await wait(indexedDB.open("relaypacs"));
    const rows = await wait(db.transaction("StudyStore").objectStore("StudyStore").getAll());
    db.close();
    return rows.map(({ status }) => status);
  });
}

/** Wait until it is so, wherever that shows. */
export async function eventually(what, wanted, within = 30_000) {
  const end = Date.now() + within;
  while (!(await wanted())) {
    if (Date.now() > end) throw new Error(`it did not happen in time: ${what}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}
