// Codes, destinations and the line's state where the line is bad: nothing that was given is lost, and what is said is true.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { Line } from "./line.mjs";
import { arrived, browse, closeAll, Gateway, openPage, pickFolder, send, signIn } from "./stage.mjs";

const gateway = new Gateway();
let context;
let line;

before(async () => {
  await gateway.start();
  line = new Line(gateway);
  await line.start();
});
after(async () => {
  await closeAll();
  await line.end();
  await gateway.end();
});
afterEach(async () => {
  line.fast();
  line.mend();
  await context?.close();
});

async function open(url, options = {}) {
  context = await browse({ serviceWorkers: "block", ...options });
  return openPage(context, url);
}

test("a code on a bad line: its page is there at once, it is kept over a reload, and is used when the line is back", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.route("**/qr/inspect", (route) => route.abort("internetdisconnected"));
  const page = await openPage(context, await gateway.qrLink());
  await page.getByRole("heading", { name: "A code to send with" }).waitFor();
  await page.getByText("No connection: where this code leads isn't known yet.").waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "A code to send with" }).waitFor();
  await pickFolder(page);
  const button = page.getByRole("button", { name: /^Send \d/ });
  await page.getByText("No connection: where this code leads isn't known yet.").waitFor();
  assert.equal(await button.isEnabled(), false);
  await context.unroute("**/qr/inspect");
  await page.evaluate(() => window.dispatchEvent(new Event("online")));
  await page.getByText("Demo archive", { exact: true }).waitFor();
  await send(page);
  await arrived(page);
  assert.deepEqual(page.faults, []);
});

test("a code that was spent meanwhile: who holds it is told before anything is picked", async () => {
  const link = await gateway.qrLink();
  const page = await open(link);
  await page.getByRole("heading", { name: "Demo archive" }).waitFor();
  const token = JSON.parse(Buffer.from(new URL(link).hash.slice(4), "base64url")).upload_token;
  const body = JSON.stringify({ study_metadata: {}, total_files: 1, total_size_bytes: 1 });
  await fetch(`${gateway.url}/upload/init`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body });
  await page.reload();
  await page.getByText("This code has already been used or has expired.").waitFor();
  assert.equal(await page.getByRole("heading", { name: "Demo archive" }).count(), 0);
});

test("discarding a code asks; a second code that is opened doesn't lose the first", async () => {
  const [first, second] = [await gateway.qrLink(), await gateway.qrLink()];
  const page = await open(first);
  await page.getByRole("heading", { name: "Demo archive" }).waitFor();
  const used = page.waitForResponse("**/qr/inspect");
  await page.evaluate((hash) => (location.hash = hash), new URL(second).hash);
  await used;
  for (const left of [1, 0]) {
    await page.getByRole("button", { name: "Discard this code" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Discard this code" }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.getByRole("heading", { name: left ? "Demo archive" : "Send a study" }).waitFor();
  }
});

test("where to send is known on the device: after one 503, and begun without a line", async () => {
  context = await browse({ serviceWorkers: "block" });
  await context.route("**/endpoints", (route) => route.fulfill({ status: 503, contentType: "text/html", body: "down" }));
  const page = await openPage(context, gateway.url);
  await signIn(page, gateway);
  await pickFolder(page);
  const button = page.getByRole("button", { name: /^Send \d/ });
  await page.getByText("Where this account may send to isn't known yet.").waitFor();
  assert.equal(await button.isEnabled(), false);
  await context.unroute("**/endpoints");
  await page.getByText("Demo archive", { exact: true }).waitFor(); // asked again by itself
  await page.getByRole("button", { name: /^Send \d/, disabled: false }).waitFor();
  await context.route("**/endpoints", (route) => route.abort("internetdisconnected"));
  await page.reload();
  await pickFolder(page);
  await page.getByRole("button", { name: /^Send \d/, disabled: false }).waitFor();
  await send(page);
});

test("'No connection' goes with the first byte that is acknowledged, in the middle of one large file; the bar never jumps", async () => {
  const page = await open(line.url);
  await signIn(page, gateway);
  await pickFolder(page);
  line.slow({ delayMs: 20, rate: 400_000 });
  await send(page);
  const row = page.locator(".entry .how");
  await row.filter({ hasText: /^Sending · [2-9]\d%/ }).waitFor(); // the small ones are sent
  line.cut();
  await row.filter({ hasText: "No connection." }).waitFor();
  await page.getByText("Queued uploads resume automatically.").waitFor();
  line.mend();
  await row.filter({ hasText: /^Sending/ }).waitFor({ timeout: 20_000 });
  assert.equal(await page.getByText("Queued uploads resume automatically.").count(), 0);
  const steps = await page.evaluate(async () => {
    const seen = [];
    const end = performance.now() + 4_000;
    while (performance.now() < end) {
      await new Promise(requestAnimationFrame);
      const bar = document.querySelector(".entry progress");
      if (bar) seen.push({ value: bar.value, at_ms: performance.now() });
    }
    // Where the machine has painted nothing for so long, there was nothing between that anybody could have seen.
    const steps = seen.slice(1).map(({ value, at_ms }, at) => ({ step: value - seen[at].value, took_ms: at_ms - seen[at].at_ms }));
    return steps.filter(({ took_ms }) => took_ms < 100).map(({ step }) => step);
  });
  assert.ok(steps.some((step) => step > 0), "it moves");
  assert.ok(Math.max(...steps) < 0.05, `evenly: at most ${Math.max(...steps)} at a time`);
  assert.ok(Math.min(...steps) >= 0, "and never back");
  line.fast();
  await arrived(page);
});

test("a proxy that takes 300 kB at most and no PATCH: pieces get smaller, and go as POST", async () => {
  const page = await open(line.url);
  const methods = new Set();
  page.on("request", (request) => request.url().includes("/files/") && methods.add([request.method(), request.headers()["x-http-method-override"]].filter(Boolean).join(" as ")));
  Object.assign(line, { most: 300_000, patches: false });
  try {
    await signIn(page, gateway);
    await pickFolder(page);
    await send(page);
    await arrived(page);
  } finally {
    Object.assign(line, { most: Infinity, patches: true });
  }
  assert.ok(methods.has("POST as PATCH"), [...methods].join());
  assert.deepEqual(page.faults, []);
});
