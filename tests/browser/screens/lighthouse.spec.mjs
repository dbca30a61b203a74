import assert from "node:assert/strict";
import { once } from "node:events";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import lighthouse from "../../node/node_modules/lighthouse/core/index.js";
import { CHROMIUM, freePort } from "../stage.mjs";
import { Hospital } from "./hospital.mjs";

const hospital = new Hospital();
const profile = mkdtempSync(join(tmpdir(), "relaypacs-lighthouse-"));
let chromium;
let port;

before(async () => {
  await hospital.open();
  port = freePort();
  const args = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", `--user-data-dir=${profile}`, `--remote-debugging-port=${port}`, "about:blank"];
  chromium = spawn(CHROMIUM, args, { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of chromium.stderr) if (String(line).includes("DevTools listening")) break;
});
after(async () => {
  chromium.kill("SIGKILL");
  await once(chromium, "exit");
  hospital.close();
  rmSync(profile, { recursive: true, force: true });
});

/** As Lighthouse does by default: a phone of the middle kind on a slow line. */
async function judged() {
  const { lhr } = await lighthouse(hospital.url, { port, logLevel: "silent", onlyCategories: ["accessibility", "best-practices", "performance"] }, {
    extends: "lighthouse:default",
    settings: { skipAudits: ["full-page-screenshot", "screenshot-thumbnails", "final-screenshot"] },
  });
  const bad = ({ auditRefs }) => auditRefs.map(({ id }) => lhr.audits[id]).filter(({ score, scoreDisplayMode }) => score !== null && score < 1 && scoreDisplayMode !== "informative").map(({ id }) => id);
  const { accessibility, "best-practices": practices, performance } = lhr.categories;
  return {
    accessibility: [accessibility.score, bad(accessibility)],
    practices: [practices.score, bad(practices)],
    performance: performance.score,
    /** What Lighthouse itself could not find out: without it the categories have no score. */
    broken: Object.values(lhr.audits).filter(({ scoreDisplayMode }) => scoreDisplayMode === "error").map(({ id, errorMessage }) => `${id}: ${errorMessage}`),
    blocked_ms: lhr.audits["total-blocking-time"].numericValue,
    shift: lhr.audits["cumulative-layout-shift"].numericValue,
  };
}

/** How long the page blocks is judged in the soak, on a machine that does nothing else. */
const QUIET = process.env.SCALE === "soak";
const TRIES = 3;

test("Lighthouse: accessibility and best practices 100, shifted by less than 0.05; in the soak blocked for less than 100 ms", async (t) => {
  let found = await judged();
  // A machine that does something else just now blocks, too; and Lighthouse may be too slow for its own questions.
  const again = () => (QUIET && found.blocked_ms >= 100) || found.broken.length > 0;
  for (let tries = 1; tries < TRIES && again(); tries += 1) found = await judged();
  t.diagnostic(JSON.stringify(found));
  assert.deepEqual(found.broken, []);
  assert.deepEqual(found.accessibility, [1, []]);
  assert.deepEqual(found.practices, [1, []]);
  assert.ok(found.shift < 0.05, `shifted by ${found.shift}`);
  if (QUIET) assert.ok(found.blocked_ms < 100, `blocked for ${found.blocked_ms} ms`);
});
