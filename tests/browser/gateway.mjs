// A gateway as its users run it: `relaypacs demo` with its little archive as the PACS, or, where the tests were given a
// configuration and an Orthanc, `relaypacs serve` before that.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export const PYTHON = process.env.RELAYPACS_PYTHON ?? "python3";
export const ROOT = new URL("../..", import.meta.url).pathname;
const CONFIG = process.env.RELAYPACS_SERVE_CONFIG;

/** One that no outgoing connection gets: `tools/ports.py` says why. */
export function freePort() {
  return Number(execFileSync(PYTHON, ["-m", "tools.ports"], { cwd: ROOT }));
}

export class Gateway {
  folder = CONFIG ? null : mkdtempSync(join(tmpdir(), "relaypacs-browser-"));
  user = "admin";
  password = process.env.RELAYPACS_PASSWORD;
  endpoint = CONFIG ? "main" : "demo";
  token = null;

  /** @param settings variables of the environment that override its configuration, until the next start */
  async start(settings = {}) {
    this.port ??= freePort();
    const command = CONFIG ? ["serve", "-c", CONFIG] : ["demo", "--port", String(this.port), "--dir", this.folder];
    const override = CONFIG ? { RELAYPACS__SERVER__PORT: String(this.port), ...settings } : {};
    this.process = spawn(PYTHON, ["-m", "gateway", ...command], { cwd: ROOT, env: { ...process.env, ...override }, stdio: ["ignore", "pipe", "ignore"] });
    for await (const line of createInterface({ input: this.process.stdout })) {
      if (line.startsWith("listening on ")) this.url = line.slice("listening on ".length).trim();
      const archive = /archive +(http\S+?)\/? /.exec(line);
      if (archive) this.archive = archive[1];
      if (line.startsWith(CONFIG ? "listening on " : "Ctrl-C")) break;
    }
    if (!this.url) throw new Error("the gateway did not start");
    this.password ??= readFileSync(join(this.folder, "password.secret"), "utf8");
  }

  async kill() {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    this.process.kill("SIGKILL");
    await once(this.process, "exit");
  }

  async restart(settings) {
    await this.kill();
    await this.start(settings);
  }

  async end() {
    await this.kill();
    if (this.folder) rmSync(this.folder, { recursive: true, force: true });
  }

  /** As the admin: logged in once, and again where that is over; logins are counted. */
  async call(path, options = {}) {
    for (let tries = 0; ; tries += 1) {
      this.token ??= await this.login();
      const answer = await fetch(this.url + path, { ...options, headers: { Authorization: `Bearer ${this.token}`, ...options.headers } });
      if (answer.status !== 401 || tries) return answer.status === 204 ? null : answer.json();
      this.token = null;
    }
  }

  async login() {
    const answer = await fetch(`${this.url}/auth/login`, { method: "POST", body: JSON.stringify({ username: this.user, password: this.password }) });
    if (!answer.ok) throw new Error(`login: ${answer.status}`);
    return (await answer.json()).access_token;
  }

  async qrLink(more = {}) {
    return (await this.call("/qr", { method: "POST", body: JSON.stringify({ endpoint_id: this.endpoint, ...more }) })).url;
  }

  async uploads() {
    const told = await this.call("/admin/uploads?limit=1000");
    if (!told.uploads) throw new Error(`${told.status} ${told.code}`);
    return told.uploads;
  }

  /** The files that it has of an upload. */
  async files(uploadId) {
    return (await this.call(`/upload/${uploadId}/files?limit=1000`)).files;
  }

  /** Instances that the PACS has. */
  async instances() {
    const answer = await fetch(`${this.archive}/dicom-web/instances`, { headers: { Accept: "application/dicom+json" } });
    return answer.status === 204 ? 0 : (await answer.json()).length;
  }

  /** What a radiologist reads first in each document that the PACS has. */
  async notes() {
    const ask = async (path) => (await fetch(`${this.archive}/dicom-web${path}`, { headers: { Accept: "application/dicom+json" } })).json();
    const found = await ask("/series?Modality=SR");
    const documents = await Promise.all(found.map((one) => ask(`/studies/${one["0020000D"].Value[0]}/series/${one["0020000E"].Value[0]}/metadata`)));
    return documents.flat().map((one) => one["0040A730"].Value[0]["0040A160"].Value[0]);
  }
}

/** The Orthanc behind `relaypacs serve`, by its own interface. */
export const orthanc = {
  url: process.env.RELAYPACS_ORTHANC_URL,
  headers: { Authorization: `Basic ${Buffer.from(process.env.RELAYPACS_ORTHANC_ACCOUNT ?? "").toString("base64")}` },

  async ask(path, method = "GET") {
    const answer = await fetch(this.url + path, { method, headers: this.headers });
    if (!answer.ok) throw new Error(`Orthanc: ${answer.status}`);
    return answer;
  },

  async clear() {
    for (const id of await (await this.ask("/patients")).json()) await this.ask(`/patients/${id}`, "DELETE");
  },

  /** SHA-256 of every instance that it stores, sorted. */
  async digests() {
    const ids = await (await this.ask("/instances")).json();
    return (await Promise.all(ids.map(async (id) => sha256(Buffer.from(await (await this.ask(`/instances/${id}/file`)).arrayBuffer()))))).sort();
  },
};

export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A command beside the running gateway, as its operator gives it. */
export async function command(gateway, args, input = "") {
  const config = CONFIG ?? join(gateway.folder, "relaypacs.toml");
  const run = spawn(PYTHON, ["-m", "gateway", ...args, "--config", config], { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  run.stdout.on("data", (text) => (out += text));
  run.stderr.on("data", (text) => (err += text));
  run.stdin.end(input);
  const [status] = await once(run, "close");
  return { status, out, err };
}
