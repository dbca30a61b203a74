// The app in Chromium at the client's end of a line: says `ready` when the study may be sent, sends it when told to, and
// prints how many seconds passed until the app had it from the gateway that the PACS has it.
// Arguments: gateway, user, password, folder; a second folder is sent as STAT while the first is under way, and has seconds
// of its own, counted from the first one's Send as well.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Chromium } from "../../bench/chromium.mjs";

const [gateway, user, password, folder, urgent] = process.argv.slice(2);
const browser = new Chromium("--ignore-certificate-errors"); // nginx's is of this run alone

/** In the page. */
function signIn({ user, password }) {
  const secret = document.querySelector("form input[type=password]");
  for (const [input, value] of [[document.querySelector("form input:not([type=password])"), user], [secret, password]]) {
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  }
  secret.form.requestSubmit();
}

/** In the page. */
function pressSend(stat) {
  if (stat) [...document.querySelectorAll("input[name=priority]")].at(-1).click();
  document.querySelector(".bottom button.main").click();
}

/** In the page: until so many studies have ended well; when each had, in the order of their Send. */
async function ended(count) {
  const wait = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const db = await wait(indexedDB.open("relaypacs"));
  const at = new Map();
  for (;;) {
    const rows = await wait(db.transaction("StudyStore").objectStore("StudyStore").getAll());
    for (const [number, row] of rows.sort((a, b) => a.created_at - b.created_at).entries())
      if (row.status === "success" && !at.has(number)) at.set(number, performance.now());
    if (at.size === count) return [...at].sort(([a], [b]) => a - b).map(([, ms]) => ms);
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function choose(page, folder) {
  await page.until(() => document.querySelector(".picker input[type=file]"));
  await page.pick(".picker input[type=file]", readdirSync(folder).map((name) => join(folder, name)));
  await page.until(() => document.querySelector(".bottom button.main:not([disabled])"));
}

try {
  const page = await (await browser.context()).page(gateway);
  await page.until(() => document.querySelector("form input[type=password]"));
  await page.run(signIn, { user, password });
  await choose(page, folder);
  console.log("ready");
  await new Promise((told) => createInterface({ input: process.stdin }).once("line", told));
  const began = await page.run(() => performance.now());
  await page.run(pressSend, false);
  if (urgent) {
    await choose(page, urgent);
    await page.run(pressSend, true);
  }
  console.log((await page.run(ended, urgent ? 2 : 1)).map((ms) => (ms - began) / 1000).join(" "));
} finally {
  await browser.end();
}
process.exit(0);
