// WebKitGTK's little browser on a screen of its own, by the W3C's WebDriver.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { freePort } from "../gateway.mjs";
import { eventually, Tab } from "./tab.mjs";

const NEEDED = { WebKitWebDriver: "webkit2gtk-driver", Xvfb: "xvfb" };
const LOADS_WITHIN_MS = 30_000;
const ANSWERS_WITHIN_MS = 60_000;
/** A session stands within a second, or its driver never hears of the browser that it has started. */
const SESSION_WITHIN_MS = 15_000;
const DRIVERS = 3;
/** WebDriver, table of standard endpoints: how an element is written. */
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";

export class WebKit {
  async start() {
    for (const [command, name] of Object.entries(NEEDED)) {
      if (!existsSync(`/usr/bin/${command}`)) throw new Error(`there is no ${command}: apt-get install --no-install-recommends ${name}`);
    }
    this.screen = spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1400x1000x24", "-nolisten", "tcp"], { stdio: ["ignore", "pipe", "ignore"] });
    const [number] = await once(this.screen.stdout, "data");
    this.env = { ...process.env, DISPLAY: `:${String(number).trim()}` };
    await this.#drive();
  }

  async #drive() {
    this.port = freePort();
    this.driver = spawn("WebKitWebDriver", [`--port=${this.port}`], { env: this.env, stdio: "ignore" });
    await eventually("the driver answers", () => this.ask("GET", "/status").then(() => true, () => false));
  }

  /** A driver that waits for ever is told as what it is. */
  async ask(method, path, body, within_ms = ANSWERS_WITHIN_MS) {
    const signal = AbortSignal.timeout(within_ms);
    const asked = fetch(`http://127.0.0.1:${this.port}${path}`, { method, body: body && JSON.stringify(body), signal });
    const answer = await asked.catch((error) => {
      throw new Error(`${method} ${path}: ${error.message}`, { cause: error });
    });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }

  /** A tab of a device of its own: nothing is shared with another one. A driver has one at a time. */
  async tab() {
    for (let drivers = 1; ; drivers += 1) {
      try {
        return new WebKitTab(this, await this.#session());
      } catch (error) {
        if (drivers === DRIVERS || error.cause?.name !== "TimeoutError") throw error;
        this.driver.kill();
        await once(this.driver, "exit");
        await this.#drive();
      }
    }
  }

  async #session() {
    const options = { binary: miniBrowser(), args: ["--automation"] };
    const wish = { capabilities: { alwaysMatch: { "webkitgtk:browserOptions": options, timeouts: { pageLoad: LOADS_WITHIN_MS } } } };
    return (await this.ask("POST", "/session", wish, SESSION_WITHIN_MS)).sessionId;
  }

  async end() {
    this.driver?.kill();
    this.screen?.kill();
  }
}

function miniBrowser() {
  const places = readdirSync("/usr/lib").map((name) => `/usr/lib/${name}/webkit2gtk-4.1/MiniBrowser`);
  const found = places.find(existsSync);
  if (!found) throw new Error("there is no MiniBrowser: apt-get install --no-install-recommends libwebkit2gtk-4.1-0");
  return found;
}

class WebKitTab extends Tab {
  constructor(browser, id) {
    super();
    Object.assign(this, { browser, id });
  }

  #ask(method, path, body) {
    return this.browser.ask(method, `/session/${this.id}${path}`, body);
  }

  async size(width, height) {
    await this.#ask("POST", "/window/rect", { width, height });
  }

  async goto(url) {
    await this.#ask("POST", "/url", { url });
  }

  async reload() {
    await this.#ask("POST", "/refresh", {});
  }

  async run(expression) {
    const script = `const done = arguments[0]; Promise.resolve(${expression}).then((good) => done({ good }), (bad) => done({ bad: String(bad) }));`;
    const { good, bad } = await this.#ask("POST", "/execute/async", { script, args: [] });
    if (bad) throw new Error(bad);
    return good;
  }

  async #element(expression) {
    const found = await this.#ask("POST", "/execute/sync", { script: `return ${expression};`, args: [] });
    return `/element/${found[ELEMENT]}`;
  }

  async press(expression) {
    await this.#ask("POST", `${await this.#element(expression)}/click`, {});
  }

  async type(expression, text) {
    await this.#ask("POST", `${await this.#element(expression)}/value`, { text });
  }

  async give(expression, paths) {
    await this.#ask("POST", `${await this.#element(expression)}/value`, { text: paths.join("\n") });
  }

  close() {
    return this.#ask("DELETE", "");
  }
}
