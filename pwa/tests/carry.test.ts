import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { doubtConnections } from "../src/upload/connections";
import { FIRST_PACE } from "../src/upload/rules";
import { byXhr } from "../src/upload/xhr";

let tells = false;
vi.mock("../src/upload/watching", () => ({
  watched: () => ({ tells, moved: () => undefined, answered: () => undefined, over: () => undefined }),
}));

const URL_OF_FILE = "https://relay.example.org/files/a";

/** A browser's, whose line the test is. */
class Wire {
  static last: Wire;
  upload: { onprogress?: (event: { loaded: number }) => void } = {};
  onload?: () => void;
  onerror?: () => void;
  onloadend?: () => void;
  status = 204;
  responseURL = URL_OF_FILE;
  responseText = "";
  aborted = false;
  open(): void {
    Wire.last = this;
  }
  setRequestHeader = vi.fn();
  getResponseHeader = (): string => "1048576";
  send = vi.fn();
  abort(): void {
    this.aborted = true;
    this.onloadend?.();
  }
  answers(): void {
    this.onload?.();
    this.onloadend?.();
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("self", globalThis);
  vi.stubGlobal("location", { href: "https://relay.example.org/" });
  vi.stubGlobal("XMLHttpRequest", Wire);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const stop = new AbortController();
let left = 0;
function carried(): Promise<unknown> {
  left = 0;
  const body = new Uint8Array(1 << 20);
  const asked = {
    method: "PATCH",
    url: URL_OF_FILE,
    headers: new Map(),
    body,
    signal: stop.signal,
    moved: (bytes: number): void => {
      left += bytes;
    },
  };
  return byXhr(asked, FIRST_PACE).then(
    ({ header }) => header("Upload-Offset"),
    (error: DOMException) => error.name,
  );
}

test("one of which nothing goes is given up after 8 s, and its connection with it", async () => {
  const told = carried();
  await vi.advanceTimersByTimeAsync(8_000);
  expect(await told).toBe("TimeoutError");
  expect(Wire.last.aborted).toBe(true);
});
test("where it is found out otherwise whether it goes on, an outage of seconds doesn't end it", async () => {
  tells = true;
  const told = carried();
  tells = false;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(Wire.last.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await told).toBe("TimeoutError");
});
test("one whose bytes move is left alone, however slow it is", async () => {
  const told = carried();
  for (let loaded = 0; loaded < 100; loaded += 1) {
    await vi.advanceTimersByTimeAsync(7_000);
    Wire.last.upload.onprogress?.({ loaded });
  }
  Wire.last.answers();
  expect(await told).toBe("1048576");
  expect(left).toBe(99);
});
test("what has left has its time to arrive", async () => {
  const told = carried();
  Wire.last.upload.onprogress?.({ loaded: 1 << 20 });
  await vi.advanceTimersByTimeAsync(17_000);
  Wire.last.answers();
  expect(await told).toBe("1048576");
});
test("an answer from elsewhere is none", async () => {
  const told = carried();
  Wire.last.responseURL = "https://portal.example.net/";
  Wire.last.answers();
  expect(await told).toBe("NetworkError");
});
test("when the device may be on another network, what moves goes on, and what doesn't is given up soon", async () => {
  const told = carried();
  doubtConnections();
  await vi.advanceTimersByTimeAsync(2_900);
  Wire.last.upload.onprogress?.({ loaded: 1 });
  await vi.advanceTimersByTimeAsync(7_900);
  expect(Wire.last.aborted).toBe(false);
  doubtConnections();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(await told).toBe("TimeoutError");
});
test("then what has left all the same has its time to arrive", async () => {
  const told = carried();
  Wire.last.upload.onprogress?.({ loaded: 1 << 20 });
  doubtConnections();
  await vi.advanceTimersByTimeAsync(17_000);
  Wire.last.answers();
  expect(await told).toBe("1048576");
});
