// Chromium over its pipe, with nothing of the network watched: a debugger that looks at requests makes uploads many
// times slower (playwright-core does, and 30 MB take 9 s in place of 0.7 s).
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class Chromium {
  profile = mkdtempSync(join(tmpdir(), "relaypacs-bench-chromium-"));
  waiting = new Map();
  count = 0;

  /** @param more flags */
  constructor(...more) {
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe", `--user-data-dir=${this.profile}`, ...more];
    const program = process.env.RELAYPACS_CHROMIUM ?? "/usr/bin/chromium";
    this.process = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], detached: true });
    let rest = "";
    this.process.stdio[4].setEncoding("utf8").on("data", (piece) => {
      const messages = (rest + piece).split("\0");
      rest = messages.pop();
      for (const { id, result, error } of messages.map((text) => JSON.parse(text))) {
        const [done, failed] = this.waiting.get(id) ?? [];
        this.waiting.delete(id);
        if (error) failed?.(new Error(error.message));
        else done?.(result);
      }
    });
  }

  call(method, params = {}, sessionId = undefined) {
    const id = (this.count += 1);
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((done, failed) => this.waiting.set(id, [done, failed]));
  }

  /** A device of its own. */
  async context() {
    const { browserContextId } = await this.call("Target.createBrowserContext");
    return { page: (url) => this.#page(url, browserContextId), close: () => this.call("Target.disposeBrowserContext", { browserContextId }) };
  }

  async #page(url, browserContextId) {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page((method, params) => this.call(method, params, sessionId));
    await page.call("Page.navigate", { url });
    return page;
  }

  end() {
    process.kill(-this.process.pid, "SIGKILL"); // its children, too: they write into the profile
    return new Promise((done) => this.process.once("exit", done)).then(() => rmSync(this.profile, { recursive: true, force: true, maxRetries: 10 }));
  }
}

class Page {
  constructor(call) {
    this.call = call;
  }

  /** The value of a function in the page. */
  async run(act, argument) {
    const expression = `(${act})(${JSON.stringify(argument)})`;
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Wait until it is so. */
  async until(is, argument, within_ms = 120_000) {
    for (const end = Date.now() + within_ms; ; ) {
      if (await this.run(is, argument).catch(() => false)) return;
      if (Date.now() > end) throw new Error(`it did not happen in time: ${is}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async pick(selector, files) {
    const { root } = await this.call("DOM.getDocument");
    const { nodeId } = await this.call("DOM.querySelector", { nodeId: root.nodeId, selector });
    await this.call("DOM.setFileInputFiles", { nodeId, files });
  }
}
