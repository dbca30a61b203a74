// The app below a path that an nginx strips, which takes 1 MiB at once and knows no PATCH.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { arrived, browse, closeAll, eventually, freePort, Gateway, openPage, orthanc, pickFolder, send, signIn, STUDY } from "./stage.mjs";

const gateway = new Gateway();
const folder = mkdtempSync(join(tmpdir(), "relaypacs-below-"));
const PATH = "/relay";
let nginx;
let outside;

function conf(port, behind) {
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(" ");
  return `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
http { access_log off; ${temp}
  server { listen 127.0.0.1:${port}; client_max_body_size 1m;
    location ${PATH}/ {
      if ($request_method = PATCH) { return 405; }
      proxy_pass http://127.0.0.1:${behind}/; proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
    } } }`;
}

before(async () => {
  const port = freePort();
  outside = `http://127.0.0.1:${port}${PATH}`;
  await gateway.start({ RELAYPACS__SERVER__PUBLIC_URL: outside });
  writeFileSync(join(folder, "nginx.conf"), conf(port, gateway.port));
  nginx = spawn("/usr/sbin/nginx", ["-c", join(folder, "nginx.conf"), "-p", folder, "-e", join(folder, "error.log")], { stdio: "ignore" });
  await eventually("nginx passes on", async () => (await fetch(`${outside}/healthz`).catch(() => ({}))).ok);
  await orthanc.clear();
});
after(async () => {
  await closeAll();
  nginx?.kill();
  if (nginx && nginx.exitCode === null) await once(nginx, "exit");
  await gateway.end();
  rmSync(folder, { recursive: true, force: true });
});

test("signing in, sending and the offline shell stay below the path", async () => {
  const context = await browse();
  const page = await openPage(context, `${outside}/`);
  const elsewhere = [];
  context.on("request", (request) => request.url().startsWith("http") && !request.url().startsWith(`${outside}/`) && elsewhere.push(request.url()));
  await signIn(page, gateway);
  await pickFolder(page);
  await send(page);
  await arrived(page, 60_000);
  assert.deepEqual(await orthanc.digests(), STUDY.digests);
  assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.ready).scope), `${outside}/`);
  await context.setOffline(true);
  await page.reload();
  await page.getByRole("heading", { name: "Uploads" }).or(page.getByRole("heading", { name: "Add images" })).first().waitFor();
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(page.faults, []);
});

test("the picture of a code leads below the path", async () => {
  assert.ok((await gateway.qrLink()).startsWith(`${outside}/#qr=`));
});
