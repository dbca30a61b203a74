// Every screen and every state of it that matters, in the order in which they come about. Three use this walk: axe, the
// pseudo-locale and `make screenshots`.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { HELD, WITHOUT } from "../others/without.mjs";
import { browse } from "../stage.mjs";
import { ADMIN } from "./hospital.mjs";

const PATIENCE_MS = 60_000; // on a machine that does other things, too
const FOLDERS = process.env.RELAYPACS_PATIENTS ?? "";

/** People at their devices, and what they do. */
export class Stage {
  constructor(hospital, say, { prepare = async () => undefined, locale = "en-GB" } = {}) {
    this.locale = locale;
    this.hospital = hospital;
    this.say = say;
    this.prepare = prepare;
    this.devices = {};
    this.start = Date.now();
  }

  /** A device of its own, kept under a name while others are looked at. */
  async device(name, url = this.hospital.url) {
    const context = await browse({ serviceWorkers: "block", timezoneId: "UTC", locale: this.locale });
    context.setDefaultTimeout(PATIENCE_MS);
    await context.addInitScript(nightShift, this.start);
    await this.prepare(context);
    this.look(await context.newPage());
    this.devices[name] = this.page;
    await this.page.goto(url);
    await this.page.getByRole("main").waitFor();
  }

  /** Another page of the same device, in a browser that lacks something. @param without a script that takes it away */
  async lacking(name, without) {
    const page = await this.devices[name].context().newPage();
    await page.addInitScript(without);
    this.look(page);
    await page.goto(this.hospital.url);
    await page.getByRole("main").waitFor();
  }

  /** From here on this page is looked at, and must stay without errors of its own. */
  look(page) {
    this.page = page;
    page.faults = [];
    page.on("pageerror", (error) => page.faults.push(error.message));
    page.on("console", (message) => /Content Security Policy|Uncaught/.test(message.text()) && page.faults.push(message.text()));
  }

  async at(name) {
    this.page = this.devices[name];
  }

  button(key, values) {
    return this.page.getByRole("button", { name: this.say(key, values), exact: true });
  }

  async press(key, values) {
    await this.button(key, values).first().click();
  }

  async heading(key, values) {
    await this.page.getByRole("heading", { name: this.say(key, values), exact: true }).first().waitFor();
  }

  async reads(key, values) {
    await this.page.getByText(this.say(key, values)).first().waitFor();
  }

  async signIn(password = ADMIN.password) {
    await this.page.getByLabel(this.say("signin.name")).fill(ADMIN.username);
    await this.page.getByLabel(this.say("signin.password")).fill(password);
    await this.press("signin.go");
  }

  async pick(folder) {
    await this.page.locator(".picker input[type=file]").last().setInputFiles(join(FOLDERS, folder));
    await this.heading("review.title");
  }

  async send() {
    await this.page.locator(".bottom .button.main").click();
    await this.heading("list.title");
  }

  row(name) {
    return this.page.locator(".entry-open", { hasText: name });
  }

  async open(name) {
    await this.row(name).first().click();
    await this.page.getByRole("heading", { level: 1, name }).waitFor();
  }

  async home() {
    while (await this.button("nav.back").count()) await this.press("nav.back");
  }

  /** Wait until a row of the list looks so: `good`, `warn`, ... */
  async becomes(name, tone) {
    await this.page.locator(`.entry.${tone}`, { hasText: name }).waitFor();
  }

  /** From now on the line takes in so many creations and then stays silent. */
  async silentAfter(creations) {
    let left = creations;
    this.unanswered = [];
    await this.page.context().route("**/files/**", (route) => (route.request().method() !== "POST" || left-- > 0 ? route.continue() : void this.unanswered.push(route)));
  }

  /** No line any more, for what is under way neither. */
  async offTheNet() {
    await this.page.context().setOffline(true);
    await this.page.context().unroute("**/files/**");
    for (const route of this.unanswered) await route.abort("internetdisconnected").catch(() => undefined);
  }

  async close() {
    for (const page of Object.values(this.devices)) await page.context().close();
  }
}

/** Times of day on the screen are 03:12 and quarters of an hour from there, so that pictures of one build are alike. */
function nightShift(start) {
  const getter = Object.getOwnPropertyDescriptor(Intl.DateTimeFormat.prototype, "format").get;
  const night = Date.UTC(2026, 10, 25, 3, 12);
  const quarter = 15 * 60_000;
  Object.defineProperty(Intl.DateTimeFormat.prototype, "format", {
    configurable: true,
    get() {
      const format = getter.call(this);
      return this.resolvedOptions().hour ? (date) => format(night + Math.round((Number(date) - start) / quarter) * quarter) : format;
    },
  });
}

const AROHA = "Ngata, Aroha";
const HANNELORE = "Müller-Lüdenscheidt, Hannelore Wilhelmine";
const LUCIA = "Torres Quiñones, Lucía";
const SAMI = "Haddad, Sami";
const folder = (name) => join(FOLDERS, name);

/** `title` is for docs/screenshots.md. `show` leads from the scene before to this one. */
export const SCENES = [
  // Somebody with a code, at a phone
  { name: "welcome", title: "Opened without an account or a code", async show(stage) { await stage.device("clinician"); await stage.heading("welcome.title"); } },
  { name: "signin-wrong", title: "A wrong password", async show(stage) { await stage.signIn("not it"); await stage.reads("signin.wrong"); } },
  { name: "link-foreign", title: "A link of another server", async show(stage) {
    await stage.page.getByLabel(stage.say("link.label"), { exact: true }).fill("https://elsewhere.example/#qr=eyJ1cGxvYWRfdG9rZW4iOiJycHFfMSJ9");
    await stage.press("link.go");
    await stage.page.locator(".notice.bad").last().waitFor();
  } },
  { name: "scan-refused", title: "The camera may not be used", async show(stage) {
    await stage.page.evaluate(() => (navigator.mediaDevices.getUserMedia = async () => Promise.reject(new DOMException("", "NotAllowedError"))));
    await stage.press("scan.go");
    await stage.reads("scan.refused");
  } },
  { name: "grant", title: "A code was opened: where it leads, before anything is sent", async show(stage) {
    await stage.device("phone", await stage.hospital.code({ label: "Aroha N., CT from Ōtaki" }));
    await stage.page.getByRole("heading", { name: "St. Elsewhere, Radiology" }).waitFor();
  } },
  { name: "review-one", title: "One patient, looked at before sending", async show(stage) { await stage.pick("one"); } },
  { name: "receipt", title: "In the PACS: the receipt", async show(stage) {
    await stage.send();
    await stage.becomes(AROHA, "good");
    await stage.open(AROHA);
    await stage.reads("receipt.save");
  } },
  { name: "remove-dialog", title: "Asked before something goes", async show(stage) { await stage.press("act.remove"); await stage.page.getByRole("dialog").waitFor(); } },
  { name: "install", title: "Offered once: keep the app on the device", async show(stage) {
    await stage.page.keyboard.press("Escape");
    await stage.home();
    await stage.page.evaluate(() => {
      const offered = new Event("beforeinstallprompt", { cancelable: true });
      offered.prompt = async () => undefined;
      window.dispatchEvent(offered);
    });
    await stage.button("install.go").waitFor();
  } },
  { name: "grant-used", title: "A code that was used", async show(stage) {
    const link = await stage.hospital.code();
    const token = JSON.parse(Buffer.from(new URL(link).hash.slice(4), "base64url")).upload_token;
    await stage.hospital.call("/upload/init", { method: "POST", token, body: { study_metadata: {}, total_files: 1, total_size_bytes: 1 } });
    await stage.device("late", link);
    await stage.reads("grant.dead");
  } },
  { name: "grant-offline", title: "A code on a bad line: it is kept", async show(stage) {
    await stage.device("ambulance");
    await stage.page.context().route("**/qr/inspect", (route) => route.abort("internetdisconnected"));
    await stage.page.getByLabel(stage.say("link.label"), { exact: true }).fill(await stage.hospital.code());
    await stage.press("link.go");
    await stage.reads("grant.offline");
  } },
  { name: "study-held", title: "Held: not the patient that the code was made for", async show(stage) {
    await stage.device("held", await stage.hospital.code({ label: "Transfer from Ōtaki", expected: { patient_id: "MRN-70224", patient_birth_date: "19790908" } }));
    await stage.pick("held");
    await stage.send();
    await stage.becomes(SAMI, "warn");
    await stage.open(SAMI);
    await stage.reads("patient_id_mismatch");
  } },

  // A technologist with an account
  { name: "home-empty", title: "Signed in, nothing sent yet", async show(stage) {
    await stage.device("technologist");
    await stage.signIn();
    await stage.heading("pick.title");
  } },
  { name: "review-many", title: "Several patients, and files that will not be sent", async show(stage) {
    await stage.pick("many");
    for (const part of await stage.page.locator(".left summary").all()) await part.click();
  } },
  { name: "review-notes", title: "Notes for the radiologist, for each patient", async show(stage) {
    for (const part of await stage.page.locator(".left summary").all()) await part.click();
    await stage.page.locator(".each summary").click();
    await stage.page.locator(".each textarea").first().fill("Fell from a ladder, GCS 14.\nIs there a bleed? Call back: ED, ext. 4410.");
  } },
  { name: "draft", title: "A review that was left", async show(stage) { await stage.home(); await stage.heading("draft.title"); } },
  { name: "review-files", title: "After a reload: all that was decided is there, the files aren't", async show(stage) {
    await stage.page.reload();
    await stage.press("draft.go");
    await stage.reads("why.files");
  } },
  { name: "review-room", title: "No room for a copy on this device", async show(stage) {
    await stage.home();
    await stage.page.evaluate(() => (navigator.storage.estimate = async () => ({ quota: 1e6, usage: 1e6 })));
    await stage.pick("many");
    await stage.page.locator(".bottom .button.main").click();
    await stage.button("act.direct").first().waitFor();
  } },
  { name: "study-partial", title: "Some files can't go to the PACS: which, why, and what to do", async show(stage) {
    await stage.home();
    await stage.page.evaluate(() => delete navigator.storage.estimate);
    await stage.pick("broken");
    await stage.send();
    await stage.becomes(LUCIA, "warn");
    await stage.open(LUCIA);
    await stage.reads("preamble_executable");
    await stage.page.locator(".files summary").click();
  } },
  { name: "queue", title: "Many studies sent, and one that needs attention", async show(stage) {
    await stage.home();
    await stage.pick("ward");
    await stage.send();
    const sent = readdirSync(folder("ward")).length;
    await stage.page.waitForFunction((sent) => document.querySelectorAll(".entry.good").length === sent, sent);
  } },
  { name: "queue-sending", title: "On its way; the next one waits", async show(stage) {
    await stage.silentAfter(4);
    await stage.pick("large");
    await stage.send();
    await stage.page.locator(".entry.busy progress").first().waitFor();
    // Four of ten files, on a machine that has nothing else to do; how far it is on another doesn't matter.
    const four = () => [...document.querySelectorAll("progress")].some(({ value }) => value >= 0.39);
    await stage.page.waitForFunction(four, null, { timeout: 8_000 }).catch(() => undefined);
    await stage.pick("many");
    await stage.send();
    await stage.page.locator(".entry", { hasText: HANNELORE }).waitFor();
  } },
  { name: "study-sending", title: "One upload on its way", async show(stage) { await stage.open(AROHA); } },
  { name: "cancel-dialog", title: "Asked before an upload is cancelled", async show(stage) { await stage.press("act.cancel"); await stage.page.getByRole("dialog").waitFor(); } },
  { name: "study-paused", title: "Paused", async show(stage) {
    await stage.page.keyboard.press("Escape");
    await stage.press("act.pause");
    await stage.button("act.resume").waitFor();
  } },
  { name: "offline", title: "No connection", async show(stage) {
    await stage.offTheNet();
    await stage.press("act.resume");
    await stage.reads("line.off");
    await stage.home();
  } },
  { name: "settings", title: "Settings", async show(stage) {
    await stage.page.context().setOffline(false);
    await stage.press("nav.settings");
    await stage.heading("settings.title");
  } },
  { name: "settings-lock", title: "A PIN for the app lock", async show(stage) {
    await stage.press("lock.on");
    await stage.page.getByLabel(stage.say("lock.new")).fill("2468");
    await stage.page.getByLabel(stage.say("lock.again")).fill("2486");
    await stage.press("lock.on");
    await stage.reads("lock.differ");
  } },
  { name: "locked", title: "Locked: no name on the screen", async show(stage) {
    await stage.page.getByLabel(stage.say("lock.again")).fill("2468");
    await stage.press("lock.on");
    await stage.press("lock.now");
    await stage.heading("lock.title");
    await stage.page.getByText(stage.say("lock.forgotten")).click();
  } },
  { name: "locked-wrong", title: "A wrong PIN", async show(stage) {
    await stage.page.getByText(stage.say("lock.forgotten")).click();
    await stage.page.getByLabel(stage.say("lock.pin")).fill("1111");
    await stage.press("lock.open");
    await stage.reads("lock.wrong");
  } },
  { name: "remove-everything-dialog", title: "Asked before everything goes from the device", async show(stage) {
    await stage.page.getByLabel(stage.say("lock.pin")).fill("2468");
    await stage.press("lock.open");
    await stage.heading("settings.title");
    await stage.press("settings.remove");
    await stage.page.getByRole("dialog").waitFor();
  } },
  { name: "removed", title: "Everything was removed from the device", async show(stage) {
    await stage.page.getByRole("dialog").getByRole("button", { name: stage.say("settings.remove.yes"), exact: true }).click();
    await stage.heading("removed.title");
  } },

  // The desk of issuers and admins
  { name: "codes-empty", title: "Making codes, before there are any", async show(stage) {
    await stage.device("desk");
    await stage.signIn();
    await stage.heading("pick.title");
    await stage.page.context().route("**/qr?**", (route) => route.fulfill({ json: { qr_codes: [], cursor: null } }));
    await stage.press("nav.qr");
    await stage.reads("codes.none");
  } },
  { name: "codes", title: "A code that was just made, and what became of the others", async show(stage) {
    await stage.page.context().unroute("**/qr?**");
    await stage.page.getByLabel(stage.say("qr.label")).fill("M. Brandt, MRT vom 23.11., Praxis Dr. Grünwald");
    await stage.press("qr.make");
    await stage.page.getByAltText(stage.say("qr.alt")).waitFor();
    await stage.page.locator(".line").first().waitFor();
  } },
  { name: "revoke-dialog", title: "Asked before a code is revoked", async show(stage) {
    await stage.page.locator(".line .button").first().click();
    await stage.page.getByRole("dialog").waitFor();
  } },
  { name: "incoming", title: "Uploads at the gateway that need attention", async show(stage) {
    await stage.page.keyboard.press("Escape");
    await stage.hospital.upload(folder("one"), { endpoint: "nord" });
    await stage.hospital.upload(folder("held"), { endpoint: "children", uploader: { name: "Mere Parata", phone: "+64 4 555 0199" } });
    await stage.hospital.upload(folder("many/c"), { complete: false, files: 2 });
    await stage.hospital.until("one PACS is down, one refuses", async () =>
      (await stage.hospital.call("/admin/endpoints")).endpoints.filter(({ condition }) => condition !== "up").length === 2);
    await stage.press("desk.incoming");
    await stage.page.locator(".lines .entry.warn").first().waitFor();
  } },
  { name: "incoming-held", title: "A held upload, and why", async show(stage) {
    await stage.page.locator(".lines .entry", { hasText: stage.say("in.state.held") }).first().locator("button").click();
    await stage.reads("patient_id_mismatch");
    await stage.button("do.release").waitFor();
  } },
  { name: "reveal-dialog", title: "A patient's data are shown for a reason", async show(stage) {
    await stage.press("do.reveal");
    await stage.page.getByRole("dialog").getByLabel(stage.say("do.reason")).fill("Called by Mere Parata: birth date mistyped");
  } },
  { name: "incoming-revealed", title: "Whose it is: as declared, and in the files", async show(stage) {
    await stage.page.getByRole("dialog").getByRole("button", { name: stage.say("do.reveal.yes"), exact: true }).click();
    await stage.heading("whose.title");
  } },
  { name: "drop-dialog", title: "Dropping it, with a reason that the uploader sees", async show(stage) {
    await stage.press("do.drop");
    await stage.page.getByRole("dialog").getByLabel(stage.say("do.reason")).fill("Wrong patient. Please send the right study with a new code.");
  } },
  { name: "incoming-moving", title: "An upload on its way to a PACS that doesn't answer", async show(stage) {
    await stage.page.getByRole("dialog").getByRole("button", { name: stage.say("do.drop"), exact: true }).click();
    await stage.page.getByRole("dialog").waitFor({ state: "hidden" });
    await stage.button("do.release").waitFor({ state: "hidden" });
    if ((await stage.page.locator(".desk-list").isHidden())) await stage.press("nav.back");
    await stage.page.getByRole("radio", { name: stage.say("in.filter.moving"), exact: true }).check({ force: true });
    await stage.page.locator(".lines .entry", { hasText: "Klinikum Nord" }).first().locator("button").click();
    await stage.button("do.cancel").waitFor();
  } },
  { name: "incoming-reopen", title: "A code to resume, for a device that lost everything", async show(stage) {
    if ((await stage.page.locator(".desk-list").isHidden())) await stage.press("nav.back");
    await stage.page.locator(".lines .entry", { hasText: stage.say("in.state.uploading") }).last().locator("button").click();
    await stage.press("do.reopen");
    await stage.page.getByAltText(stage.say("qr.alt")).waitFor();
  } },
  { name: "pacs", title: "How each PACS answers", async show(stage) {
    await stage.press("desk.pacs");
    await stage.page.locator(".health").first().waitFor();
  } },

  // What the person with the held upload sees in the end
  { name: "study-cancelled", title: "Dropped at the hospital, with its reason", async show(stage) {
    await stage.at("held");
    await stage.page.evaluate(() => window.dispatchEvent(new Event("online"))); // who comes back sees what is so now
    await stage.page.getByText("Wrong patient. Please send").waitFor();
  } },

  // Somebody in whose browser something is in the way
  { name: "part-missing", title: "A screen that didn't come", async show(stage) {
    await stage.device("stranger");
    await stage.page.context().route(/assets\/desk-/, (route) => route.fulfill({ status: 503 }));
    await stage.signIn();
    await stage.press("nav.incoming");
    await stage.reads("error.part");
  } },
  { name: "quota", title: "More than the account may have unfinished: what it is, and when it is tried again", async show(stage) {
    await stage.home();
    const problem = { status: 429, code: "quota_exceeded", limit: "limits.open_uploads" };
    await stage.page.context().route("**/upload/init", (route) =>
      route.fulfill({ status: 429, contentType: "application/problem+json", headers: { "Retry-After": "900" }, body: JSON.stringify(problem) }));
    await stage.pick("one");
    await stage.send();
    await stage.reads("problem.quota_exceeded.open");
  } },
  { name: "obstacle-key", title: "The browser has lost the key of what is stored", async show(stage) {
    await stage.page.evaluate(async () => {
      const db = await new Promise((done) => (indexedDB.open("relaypacs").onsuccess = ({ target }) => done(target.result)));
      const store = db.transaction("KeyStore", "readwrite").objectStore("KeyStore");
      await new Promise((done) => (store.delete("device").onsuccess = done));
      db.close();
    });
    await stage.page.reload();
    await stage.heading("obstacle.key");
  } },
  { name: "obstacle-remove", title: "Asked before it goes", async show(stage) { await stage.press("obstacle.remove"); await stage.reads("obstacle.remove.text"); } },
  ...[
    ["insecure", "no HTTPS", "Not opened by HTTPS"],
    ["old", "no BroadcastChannel", "A browser that is too old"],
    ["blocked", "a store that is forbidden", "A private window, or a browser that may store nothing"],
    ["full", "a store on a full device", "A device that is full"],
    ["broken", "a store that doesn't open", "A store that doesn't open"],
    ["newer", "a store of a newer app", "A newer version of the app has been here"],
    ["failed", "a step that throws", "The app has stopped"],
  ].map(([kind, without, title]) => ({ name: `obstacle-${kind}`, title, async show(stage) {
    await stage.lacking("stranger", WITHOUT[without]);
    await stage.heading(`obstacle.${kind}`);
  } })),
  { name: "obstacle-silent", title: "A store that another part of the browser holds", async show(stage) {
    await stage.lacking("stranger", HELD); // from here on nobody gets at its store
    await stage.heading("obstacle.silent");
  } },
  { name: "obstacle-part", title: "Part of the app didn't come when it started", async show(stage) {
    await stage.device("unlucky");
    let first; // the table of words that is asked for first; those of this screen come
    await stage.page.context().route(/assets\/(en|de)-/, (route) => {
      first ??= route.request().url();
      return route.request().url() === first ? route.fulfill({ status: 503 }) : route.fallback();
    });
    await stage.page.reload();
    await stage.heading("obstacle.part");
  } },
];

/** Go through them all. @param look what to do at each */
export async function walk(stage, look, only = () => true) {
  for (const scene of SCENES) {
    try {
      await scene.show(stage);
      if (only(scene)) await look(scene, stage.page);
    } catch (error) {
      if (process.env.RELAYPACS_LAST_LOOK) await stage.page.screenshot({ path: process.env.RELAYPACS_LAST_LOOK });
      throw new Error(`${scene.name}: ${error.message}`, { cause: error });
    }
    if (stage.page.faults.length > 0) throw new Error(`${scene.name}: ${stage.page.faults.join("; ")}`);
  }
}
