// The gateway, as a browser sees it that lacks something: a script that takes it away precedes the app's own.
import { once } from "node:events";
import { createServer, request as ask } from "node:http";
import { text } from "node:stream/consumers";

export class Lacking {
  /** A script. */
  without = "";
  /** No script of the app comes. */
  scriptless = false;
  /** The first file of this kind that is asked for is refused, so many times. */
  refused = { files: null, times: 0 };
  #pages = 0;

  constructor(gateway) {
    this.gateway = gateway;
  }

  async start() {
    this.server = createServer((request, response) => this.#pass(request, response)).listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  /** A link of the gateway, as it is here. */
  here(link) {
    return link.replace(this.gateway.url, this.url);
  }

  async end() {
    this.server.closeAllConnections();
    this.server.close();
  }

  #refuses(path) {
    const { files, times } = this.refused;
    if (times < 1 || !files?.test(path) || (this.refused.first ??= path) !== path) return false;
    this.refused.times -= 1;
    return true;
  }

  #pass(request, response) {
    if (request.url.startsWith("/without-")) return response.writeHead(200, { "content-type": "text/javascript" }).end(this.without);
    if (this.#refuses(request.url)) return response.writeHead(503).end();
    const headers = { ...request.headers, "accept-encoding": "identity" };
    delete headers["if-none-match"];
    const onward = ask(this.gateway.url + request.url, { method: request.method, headers });
    onward.on("response", (answer) => void this.#answer(answer, response)).on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }

  async #answer(answer, response) {
    if (!answer.headers["content-type"]?.includes("html")) {
      response.writeHead(answer.statusCode, answer.headers);
      return void answer.pipe(response);
    }
    const script = `<script src="/without-${(this.#pages += 1)}.js"></script>`; // a name that no cache knows
    const found = (await text(answer)).replace("<script ", `${script}<script `);
    const page = this.scriptless ? found.replace(/assets\/(?=[^"]+\.js")/g, "gone/") : found;
    response.writeHead(answer.statusCode, { ...answer.headers, "content-length": Buffer.byteLength(page) }).end(page);
  }
}
