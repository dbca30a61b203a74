// `relaypacs demo --lan` in Chromium: with the authority's certificate the app is what it needs to be on a phone.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { chromium } from "../node/node_modules/playwright-core/index.mjs";
import { CHROMIUM, PYTHON, ROOT } from "./stage.mjs";

const folder = mkdtempSync(join(tmpdir(), "relaypacs-lan-"));
const said = {};
let demo;
let context;

before(async () => {
  const words = ["-m", "gateway", "demo", "--lan", "--host", "127.0.0.1", "--port", "0", "--dir", join(folder, "demo")];
  demo = spawn(PYTHON, words, { cwd: ROOT, stdio: ["ignore", "pipe", "ignore"] });
  for await (const line of createInterface({ input: demo.stdout })) {
    const [, what, address] = /^ {2}(gateway|on a phone) +(http\S+)/.exec(line) ?? [];
    if (what) said[what] = address;
    if (line.startsWith("Ctrl-C")) break;
  }
});

after(async () => {
  await context?.close();
  demo.kill("SIGKILL");
  await once(demo, "exit");
  rmSync(folder, { recursive: true, force: true });
});

/** The public key of the server, from a connection that the authority's certificate vouched for. */
async function vouchedKey(address, authority) {
  const { hostname, port } = new URL(address);
  const line = connect({ host: hostname, port, ca: authority.toString() });
  await once(line, "secureConnect");
  assert.equal(line.authorized, true);
  const { publicKey } = new X509Certificate(line.getPeerCertificate().raw);
  line.destroy();
  return createHash("sha256").update(publicKey.export({ type: "spki", format: "der" })).digest("base64");
}

test("a browser that trusts the certificate runs the app as a secure context with its service worker", async () => {
  const authority = new X509Certificate(Buffer.from(await (await fetch(`${said["on a phone"]}relaypacs-demo-ca.crt`)).arrayBuffer()));
  const key = await vouchedKey(said.gateway, authority);
  context = await chromium.launchPersistentContext(join(folder, "profile"), {
    executablePath: CHROMIUM,
    viewport: { width: 360, height: 740 },
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--ignore-certificate-errors-spki-list=${key}`],
  });
  const page = await context.newPage();
  await page.goto(said["on a phone"]);
  await page.getByRole("link", { name: said.gateway }).click();
  await page.getByRole("heading", { name: "Send a study" }).waitFor();
  assert.equal(new URL(page.url()).origin, said.gateway);
  assert.equal(await page.evaluate(() => isSecureContext && "subtle" in crypto), true);
  assert.equal(await page.evaluate(() => navigator.serviceWorker.ready.then((one) => one.active !== null)), true);
});
