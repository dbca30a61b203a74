// A hospital as the screens show it: the gateway as it is served, one PACS that answers, one that doesn't, one that
// refuses; and the acts of people who aren't on the screen.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "../stage.mjs";

const PYTHON = process.env.RELAYPACS_PYTHON ?? "python3";
const ROOT = new URL("../../..", import.meta.url).pathname;

export const ADMIN = { username: "k.lindqvist", password: randomBytes(12).toString("base64url") };
export const MAIN = "radiology";

async function serving(args) {
  const child = spawn(PYTHON, args, { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of createInterface({ input: child.stdout })) {
    const told = /listening on (http\S+)/.exec(line);
    if (told) return { child, url: told[1].replace(/\/$/, "") };
  }
  throw new Error(`it did not start: ${args.join(" ")}`);
}

export class Hospital {
  folder = mkdtempSync(join(tmpdir(), "relaypacs-screens-"));
  children = [];

  async open() {
    const archive = await serving(["-m", "tests.browser.screens.archive", join(this.folder, "archive")]);
    this.children.push(archive.child);
    const port = freePort();
    const config = join(this.folder, "relaypacs.toml");
    writeFileSync(config, this.config(port, archive.url, freePort()), { mode: 0o600 });
    const added = spawn(PYTHON, ["-m", "gateway", "user", "add", ADMIN.username, "--role", "admin", "--password-stdin", "-c", config], { cwd: ROOT, stdio: ["pipe", "ignore", "inherit"] });
    added.stdin.end(`${ADMIN.password}\n`);
    await once(added, "exit");
    const gateway = await serving(["-m", "gateway", "serve", "-c", config]);
    this.children.push(gateway.child);
    this.url = gateway.url;
  }

  config(port, archive, nobody) {
    const secret = (name) => (writeFileSync(join(this.folder, name), randomBytes(32).toString("base64"), { mode: 0o600 }), `{ file = "${join(this.folder, name)}" }`);
    return `
[server]
port = ${port}
public_url = "http://127.0.0.1:${port}"
[database]
url = "sqlite://${this.folder}/relaypacs.db"
[spool]
url = "file://${this.folder}/spool"
[spool.keys]
active = "k1"
k1 = ${secret("k1.key")}
[tokens]
secret = ${secret("tokens.key")}
[delivery]
retry_base = "200ms"
[endpoints.${MAIN}]
kind = "dicomweb"
url = "${archive}/dicom-web"
default = true
display_name = "St. Elsewhere, Radiology"
contact = "+64 4 555 0142"
[endpoints.nord]
kind = "dicomweb"
url = "http://127.0.0.1:${nobody}/dicom-web"
display_name = "Klinikum Nord, Institut für Diagnostische und Interventionelle Radiologie"
contact = "+49 40 5550 2200"
[endpoints.children]
kind = "dicomweb"
url = "${archive}/somewhere-else"
display_name = "Children's Hospital"
contact = "PACS team, pager 4417"
[audit]
file = "${this.folder}/audit.jsonl"
`;
  }

  close() {
    for (const child of this.children) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  async call(path, { method = "GET", body, token, headers = {} } = {}) {
    token ??= await this.token();
    const answer = await fetch(this.url + path, { method, headers: { Authorization: `Bearer ${token}`, ...headers }, body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }

  async token() {
    if (!this.access) {
      const answer = await fetch(`${this.url}/auth/login`, { method: "POST", body: JSON.stringify(ADMIN) });
      this.access = (await answer.json()).access_token;
    }
    return this.access;
  }

  /** @returns the link of a fresh code */
  async code(wish = {}) {
    return (await this.call("/qr", { method: "POST", body: { endpoint_id: MAIN, ...wish } })).url;
  }

  /** Somebody else's upload, over the REST facade. */
  async upload(folder, { endpoint = MAIN, complete = true, files = Infinity, ...wish } = {}) {
    const all = readdirSync(folder).filter((name) => name.endsWith(".dcm")).map((name) => readFileSync(join(folder, name)));
    const opened = await this.call("/upload/init", {
      method: "POST",
      body: { study_metadata: {}, total_files: all.length, total_size_bytes: all.reduce((sum, one) => sum + one.length, 0), endpoint_id: endpoint, ...wish },
    });
    const { upload_id, upload_token: token } = opened;
    for (const [index, bytes] of all.slice(0, files).entries()) {
      await this.call(`/upload/${upload_id}/chunk?file_id=f${index}&chunk_index=0&total_chunks=1`, { method: "PUT", token, body: bytes, headers: { "Content-Type": "application/octet-stream" } });
    }
    if (complete) await this.call(`/upload/${upload_id}/complete`, { method: "POST", token, body: {}, headers: { Prefer: "wait=0" } });
    return upload_id;
  }

  async until(what, wanted) {
    for (const end = Date.now() + 60_000; ; await new Promise((done) => setTimeout(done, 100))) {
      const found = await wanted();
      if (found) return found;
      if (Date.now() > end) throw new Error(`it did not happen in time: ${what}`);
    }
  }
}
