import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { callBeside, json, request } from "../src/upload/api";
import { askByXhr } from "../src/upload/small";
import { extensions } from "../src/upload/tus";

const ORIGIN = "https://relay.example.org";
const quiet = {
  tells: true,
  moved: (): void => undefined,
  answered: (): void => undefined,
  over: (): void => undefined,
};

/** Connections of which so many are dead: whoever looks gives a call on one of them up. */
function line(dead: number): { asked: string[] } {
  const asked: string[] = [];
  const giveUps: (() => void)[] = [];
  callBeside(
    async (url, { method, signal }) => {
      asked.push(`${method} ${url}`);
      if (asked.length > dead) return new Response('{"said":"yes"}', { status: 201 });
      queueMicrotask(() => giveUps.at(-1)?.());
      return new Promise((_, failed) => signal.addEventListener("abort", () => failed(new Error("aborted"))));
    },
    (_size, giveUp) => {
      giveUps.push(giveUp);
      return quiet;
    },
  );
  return { asked };
}

beforeEach(
  () =>
    void vi.stubGlobal("self", { location: { origin: ORIGIN, pathname: "/upload.js", href: `${ORIGIN}/upload.js` } }),
);
afterEach(() => void vi.unstubAllGlobals());

test("what can be asked twice goes again at once, over as many dead connections as a browser may have", async () => {
  const { asked } = line(6);
  expect(await json("/upload/a/complete", { method: "POST", repeats: true })).toEqual({ said: "yes" });
  expect(asked).toHaveLength(7);
});

test("whether parts are put together is asked again over a new connection: files wait for that", async () => {
  const { asked } = line(1);
  await extensions(`${ORIGIN}/files/`);
  expect(asked.map((one) => one.split(" ")[0])).toEqual(["OPTIONS", "OPTIONS"]);
});

test("what can't be asked twice goes once, and waits", async () => {
  const { asked } = line(1);
  let answered = false;
  void request("/upload/a/token", { method: "POST" }).then(() => (answered = true));
  await new Promise((done) => setTimeout(done, 20));
  expect([asked.length, answered]).toEqual([1, false]);
});

test("what its owner stops ends, and goes no second time", async () => {
  const { asked } = line(0);
  const stop = new AbortController();
  callBeside(
    async (url, { signal }) => {
      asked.push(url);
      return new Promise((_, failed) => signal.addEventListener("abort", () => failed(signal.reason)));
    },
    () => quiet,
  );
  const told = request("/upload/a/status", { signal: stop.signal });
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  stop.abort();
  await expect(told).rejects.toThrow("aborted");
  expect(asked).toHaveLength(1);
});

/** A browser's request, whose gateway the test is. */
class Wire {
  static last: Wire;
  onload?: () => void;
  onloadend?: () => void;
  status = 200;
  responseURL = `${ORIGIN}/healthz?1`;
  responseText = "";
  open = vi.fn();
  setRequestHeader = vi.fn();
  getAllResponseHeaders = (): string => "content-type: application/json\r\nretry-after: 7\r\n";
  send(): void {
    Wire.last = this;
  }
  abort(): void {
    this.onloadend?.();
  }
  answers(text: string): void {
    this.responseText = text;
    this.onload?.();
    this.onloadend?.();
  }
}

function byBrowser(signal = new AbortController().signal): Promise<Response> {
  vi.stubGlobal("XMLHttpRequest", Wire);
  return askByXhr(`${ORIGIN}/healthz?1`, {
    method: "POST",
    headers: new Headers({ Prefer: "wait=0" }),
    body: "{}",
    signal,
  });
}

test("a small request by XMLHttpRequest is answered as one by fetch", async () => {
  const told = byBrowser();
  Wire.last.status = 503;
  Wire.last.answers('{"code":"busy"}');
  const answer = await told;
  expect([answer.status, answer.headers.get("Retry-After"), await answer.text()]).toEqual([
    503,
    "7",
    '{"code":"busy"}',
  ]);
  expect(Wire.last.setRequestHeader).toHaveBeenCalledWith("prefer", "wait=0");
  const empty = byBrowser();
  Wire.last.status = 204;
  Wire.last.answers("");
  expect((await empty).status).toBe(204);
});

test("no answer, an end by its owner and the page of a portal are none of the gateway's", async () => {
  const broken = byBrowser();
  Wire.last.abort();
  await expect(broken).rejects.toThrow("no answer");
  const stop = new AbortController();
  const stopped = byBrowser(stop.signal);
  stop.abort();
  await expect(stopped).rejects.toThrow("no answer");
  const led = byBrowser();
  Wire.last.responseURL = "https://portal.example.net/login";
  Wire.last.answers("<html>");
  await expect(led).rejects.toThrow("no answer");
});
