// Firefox and Chromium by WebDriver BiDi and the DevTools protocol, as puppeteer speaks them.
import { existsSync } from "node:fs";
import puppeteer from "../../node/node_modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js";
import { Tab } from "./tab.mjs";

const BROWSERS = {
  firefox: {
    browser: "firefox",
    executablePath: process.env.RELAYPACS_FIREFOX ?? "/usr/bin/firefox-esr",
    package: "firefox-esr",
  },
  chromium: {
    browser: "chrome",
    executablePath: process.env.RELAYPACS_CHROMIUM ?? "/usr/bin/chromium",
    package: "chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  },
};

export class Puppet {
  constructor(name) {
    this.about = BROWSERS[name];
    if (!existsSync(this.about.executablePath)) throw new Error(`there is no ${this.about.executablePath}: apt-get install --no-install-recommends ${this.about.package}`);
  }

  /** @param more as puppeteer's launch takes it */
  async start(more = {}) {
    this.process = await puppeteer.launch({ ...this.about, headless: true, ...more });
  }

  /** A tab of a device of its own: nothing is shared with another one. */
  async tab() {
    const device = await this.process.createBrowserContext();
    return new PuppetTab(await device.newPage(), device);
  }

  async end() {
    await this.process?.close();
  }
}

class PuppetTab extends Tab {
  constructor(page, device) {
    super();
    Object.assign(this, { page, device });
  }

  async size(width, height) {
    await this.page.setViewport({ width, height }).catch((error) => {
      // The size is set by then; an older Firefox can't turn the screen, and nobody asked for that.
      if (!/unknown command emulation\./.test(error.message)) throw error;
    });
  }

  async goto(url) {
    await this.page.goto(url);
  }

  async reload() {
    await this.page.reload();
  }

  run(expression) {
    return this.page.evaluate(expression);
  }

  async press(expression) {
    await (await this.page.evaluateHandle(expression)).click();
  }

  async type(expression, text) {
    await (await this.page.evaluateHandle(expression)).type(text);
  }

  async give(expression, paths) {
    await (await this.page.evaluateHandle(expression)).uploadFile(...paths);
  }

  close() {
    return this.device.close();
  }
}
