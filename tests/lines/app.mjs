// The app in Chromium at the client's end of a line: says `ready` when the study may be sent, sends it when told to, and
// prints how many seconds passed until the app had it from the gateway that the PACS has it.
// Arguments: gateway, user, password, folder.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Chromium } from "../../bench/chromium.mjs";

const [gateway, user, password, folder] = process.argv.slice(2);
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

/** In the page: from Send until the study has ended well; seconds. */
async function send() {
  const wait = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const db = await wait(indexedDB.open("relaypacs"));
  const began = performance.now();
  document.querySelector(".bottom button.main").click();
  for (;;) {
    const [row] = await wait(db.transaction("StudyStore").objectStore("StudyStore").getAll());
    if (row?.status === "success") return (performance.now() - began) / 1000;
    await new Promise((done) => setTimeout(done, 50));
  }
}

try {
  const page = await (await browser.context()).page(gateway);
  await page.until(() => document.querySelector("form input[type=password]"));
  await page.run(signIn, { user, password });
  await page.until(() => document.querySelector(".picker input[type=file]"));
  await page.pick(".picker input[type=file]", readdirSync(folder).map((name) => join(folder, name)));
  await page.until(() => document.querySelector(".bottom button.main:not([disabled])"));
  console.log("ready");
  await new Promise((told) => createInterface({ input: process.stdin }).once("line", told));
  console.log(await page.run(send));
} finally {
  await browser.end();
}
process.exit(0);
