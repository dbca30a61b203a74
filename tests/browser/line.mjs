// The line between the app and the gateway: it counts what goes over, slows it down, breaks, and loses answers. What is
// lost or held up is true HTTP of a true gateway; only `answer` makes something up.
import { once } from "node:events";
import { Agent, createServer, request as ask } from "node:http";

/** Requests that bring files, as many as the app has under way at once. */
export const AT_ONCE = 5;
export const LEAST_AT_ONCE = 2;

export class Line {
  /** Bytes of files that were handed to the gateway, and the longest pieces of them. */
  received = 0;
  pieces = [];
  /** Held up: every request to /files. */
  delayMs = 0;
  /** Bytes per second of each request; 0: as fast as it goes. */
  rate = 0;
  down = false;
  /** Requests to /files that wait at the door. */
  waiting = 0;
  /** A proxy that takes no larger bodies, and lets no PATCH through. */
  most = Infinity;
  /** So many pieces of files were under way at once. */
  mostAtOnce = 0;
  patches = true;
  #rules = [];
  #sockets = new Set();
  #passing = Infinity;
  #door = null;
  #open = () => undefined;
  #under = 0;
  #agent = new Agent({ keepAlive: true });

  constructor(gateway) {
    this.gateway = gateway;
  }

  async start() {
    this.server = createServer((request, response) => void this.#carry(request, response).catch(() => response.destroy()));
    this.server.on("connection", (socket) => {
      if (this.down) return socket.destroy();
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  async end() {
    this.#agent.destroy();
    this.cut();
    this.server.close();
  }

  /** A link of the gateway, as it is over this line. */
  over(link) {
    return link.replace(this.gateway.url, this.url);
  }

  slow({ delayMs = 30, rate = 2_500_000 } = {}) {
    Object.assign(this, { delayMs, rate });
  }

  /** Nothing holds up or slows down any more. */
  fast() {
    this.slow({ delayMs: 0, rate: 0 });
    this.#passing = Infinity;
    this.#open();
  }

  /** Those that waited by now pass, and so many requests to /files beside them; the others wait. */
  shut(after) {
    this.#open();
    this.#passing = after;
    this.#door = new Promise((done) => (this.#open = done));
  }

  async #atDoor(response) {
    if ((this.#passing -= 1) >= 0) return;
    this.waiting += 1;
    await Promise.race([this.#door, once(response, "close")]);
    this.waiting -= 1;
  }

  /** No bit passes until it is mended. */
  cut() {
    this.down = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend() {
    this.down = false;
  }

  /** The next such request reaches the gateway, and its answer nobody. @returns a promise of that */
  lose(method, path) {
    return this.#next(method, path, {});
  }

  /** The next such request is held up before it reaches the gateway. */
  holdUp(method, path, ms) {
    return this.#next(method, path, { ms });
  }

  /** The next such request never reaches the gateway; this is its answer. */
  answer(method, path, status, body) {
    return this.#next(method, path, { status, body });
  }

  #next(method, path, act) {
    return new Promise((done) => this.#rules.push({ method, path, ...act, done }));
  }

  #ruleFor({ method, url }) {
    const at = this.#rules.findIndex((one) => one.method === method && one.path.test(url));
    return at < 0 ? null : this.#rules.splice(at, 1)[0];
  }

  async #carry(request, response) {
    const rule = this.#ruleFor(request);
    const ofFile = request.url.startsWith("/files") && request.method !== "OPTIONS"; // that asks what the gateway can do
    const refused = Number(request.headers["content-length"]) > this.most ? 413 : !this.patches && request.method === "PATCH" ? 405 : 0;
    if (refused) {
      request.resume();
      await once(request, "end");
      return response.writeHead(refused, { "Content-Type": "text/html" }).end("<h1>no</h1>");
    }
    if (rule?.status) {
      request.resume();
      await once(request, "end");
      response.writeHead(rule.status, { "Content-Type": "application/problem+json" }).end(JSON.stringify(rule.body));
      return rule.done();
    }
    await wait(rule?.ms ?? (ofFile ? this.delayMs : 0));
    if (ofFile) await this.#atDoor(response);
    if (response.destroyed) return;
    const onward = ask(this.gateway.url + request.url, { method: request.method, headers: request.headers, agent: this.#agent });
    const answered = new Promise((done, failed) => onward.on("response", done).on("error", failed));
    let early = false; // answered before all of the request was heard: the rest of it is for nobody
    answered.then(() => (early = true), () => undefined);
    response.on("close", () => onward.destroy()); // whoever asked has gone: the gateway sees a broken line
    const gone = Promise.race([once(response, "close"), answered]);
    gone.catch(() => undefined);
    const piece = { bytes: 0, bearer: request.headers.authorization };
    if (ofFile) this.pieces.push(piece);
    if (ofFile) this.#count(response);
    for await (const part of request) {
      if (early) continue;
      if (ofFile) this.received += part.length;
      piece.bytes += part.length;
      if (!onward.write(part)) await Promise.race([once(onward, "drain"), gone]);
      if (ofFile && this.rate) await wait((1000 * part.length) / this.rate);
    }
    onward.end();
    const answer = await answered;
    if (rule && !rule.ms) {
      answer.resume();
      await once(answer, "end");
      response.destroy();
      return rule.done();
    }
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
    answer.on("error", () => response.destroy());
    rule?.done();
  }

  #count(response) {
    this.#under += 1;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#under);
    response.on("close", () => (this.#under -= 1));
  }

  /** What may be sent twice where something broke: a piece of each request that was under way. */
  get piecesAtOnce() {
    return this.pieces.map(({ bytes }) => bytes).sort((a, b) => b - a).slice(0, AT_ONCE).reduce((sum, bytes) => sum + bytes, 0);
  }
}

function wait(ms) {
  return ms > 0 ? new Promise((done) => setTimeout(done, ms)) : undefined;
}
