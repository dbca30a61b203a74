// A gateway as its users run it (`relaypacs demo`, its little archive as the PACS), Debian's Chromium, and what the
// tests ask of both. Knows the app by its screens and its IndexedDB only.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "../node/node_modules/playwright-core/index.mjs";

export const CHROMIUM = process.env.RELAYPACS_CHROMIUM ?? "/usr/bin/chromium";
if (!existsSync(CHROMIUM)) {
  throw new Error(`there is no ${CHROMIUM}: apt-get install --no-install-recommends chromium, or name another with RELAYPACS_CHROMIUM`);
}
export const PYTHON = process.env.RELAYPACS_PYTHON ?? "python3";
export const ROOT = new URL("../..", import.meta.url).pathname;

/** DICOM files of one patient, made by whoever started the tests. */
export const SERIES = process.env.RELAYPACS_SERIES ?? "";
export const FILES = readdirSync(SERIES).filter((name) => name.endsWith(".dcm")).length;

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

export class Gateway {
  folder = mkdtempSync(join(tmpdir(), "relaypacs-browser-"));

  async start() {
    this.port ??= await freePort();
    this.process = spawn(PYTHON, ["-m", "gateway", "demo", "--port", String(this.port), "--dir", this.folder], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "ignore"],
    });
    for await (const line of createInterface({ input: this.process.stdout })) {
      if (line.startsWith("listening on ")) this.url = line.slice("listening on ".length).trim();
      const archive = /archive +(http\S+?)\/? /.exec(line);
      if (archive) this.archive = archive[1];
      if (line.startsWith("Ctrl-C")) break;
    }
    if (!this.url) throw new Error("the gateway did not start");
    this.password = readFileSync(join(this.folder, "password.secret"), "utf8");
  }

  async kill() {
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }

  async end() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async call(path, options = {}) {
    const login = await fetch(`${this.url}/auth/login`, { method: "POST", body: JSON.stringify({ username: "admin", password: this.password }) });
    const { access_token } = await login.json();
    const answer = await fetch(this.url + path, { ...options, headers: { Authorization: `Bearer ${access_token}`, ...options.headers } });
    return answer.json();
  }

  async qrLink() {
    return (await this.call("/qr", { method: "POST", body: JSON.stringify({ endpoint_id: "demo" }) })).url;
  }

  /** Instances that the PACS has. */
  async instances() {
    const answer = await fetch(`${this.archive}/dicom-web/instances`, { headers: { Accept: "application/dicom+json" } });
    return answer.status === 204 ? 0 : (await answer.json()).length;
  }
}

let browser;

/** A device of its own: nothing is shared with another context. */
export async function browse(options = {}) {
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  return browser.newContext({ viewport: { width: 360, height: 740 }, locale: "en-GB", ...options });
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

export async function signIn(page, gateway) {
  await page.getByLabel("User name").fill("admin");
  await page.getByLabel("Password").fill(gateway.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Add images" }).waitFor();
}

export async function pickFolder(page, folder = SERIES) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Choose a folder" }).click();
  await (await chooser).setFiles(folder);
  await page.getByRole("heading", { name: "Check before sending" }).waitFor();
}

export async function send(page) {
  await page.getByRole("button", { name: /^Send \d/ }).click();
  await page.getByRole("heading", { name: "Uploads" }).waitFor();
}

export async function arrived(page, within = 30_000) {
  await page.getByText(/^In the PACS of Demo archive since \d\d:\d\d/).first().waitFor({ timeout: within });
}

/** Requests that create files are held up, so that something can happen in the middle. */
export async function slowly(context, ms) {
  await context.route("**/files/**", async (route) => {
    await new Promise((done) => setTimeout(done, ms));
    await route.continue().catch(() => undefined);
  });
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
    if (wanted(now)) return now;
    if (Date.now() > end) throw new Error(`it did not happen in time: ${what}; ${JSON.stringify({ ...now, text: "" })}`);
    await new Promise((done) => setTimeout(done, 60));
  }
}
