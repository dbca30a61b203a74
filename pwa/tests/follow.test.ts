import { afterEach, expect, test, vi } from "vitest";
import type { Queue } from "../src/queue/db";
import { type GatewayStatus, statuses } from "../src/upload/follow";

vi.mock("../src/upload/tokens", () => ({
  asUpload: (_queue: unknown, _id: string, act: (bearer: string) => unknown) => act("bearer"),
  uploadToken: async () => "bearer",
}));
afterEach(() => void vi.unstubAllGlobals());

/** A gateway: how each upload stands, how often it was asked for, and who has a stream. */
function gateway(): { state: Map<string, string>; asked: string[]; streams: Map<string, (state: string) => void> } {
  const state = new Map<string, string>();
  const asked: string[] = [];
  const streams = new Map<string, (state: string) => void>();
  vi.stubGlobal("self", { location: { origin: "https://relay.example.org", pathname: "/upload.js" } });
  vi.stubGlobal("fetch", async (url: string, { signal }: RequestInit) => {
    const [, id = "", what] = /upload\/(\w+)\/(\w+)/.exec(url) ?? [];
    if (what === "status") {
      asked.push(id);
      return new Response(JSON.stringify({ state: state.get(id) ?? "delivering" }));
    }
    const body = new ReadableStream<Uint8Array>({
      start: (out) => {
        signal?.addEventListener("abort", () => out.error(signal.reason));
        streams.set(id, (now) => {
          out.enqueue(new TextEncoder().encode(`event: status\ndata: ${JSON.stringify({ state: now })}\n\n`));
        });
      },
    });
    return new Response(body);
  });
  return { state, asked, streams };
}

/** Follows an upload, and never asks again by itself. @returns what it has heard */
function follow(id: string): string[] {
  const heard: string[] = [];
  const turnOnly = (_ms: number, turn: AbortSignal): Promise<void> =>
    new Promise((done) => turn.addEventListener("abort", () => done()));
  const each = statuses(null as unknown as Queue, id, id, new AbortController().signal, turnOnly);
  void (async () => {
    for await (const told of each as AsyncIterable<GatewayStatus>) heard.push(told.state);
  })();
  return heard;
}

test("there is one stream; when its upload has ended the next one has its turn, and so on to the last", async () => {
  const { state, asked, streams } = gateway();
  const [first, second, third] = ["a", "b", "c"].map(follow);
  await vi.waitFor(() => expect(asked).toEqual(["a", "b", "c"]));
  await vi.waitFor(() => expect([...streams.keys()]).toEqual(["a"]));
  state.set("b", "success");
  streams.get("a")?.("success");
  await vi.waitFor(() => expect([...streams.keys()]).toEqual(["a", "c"]));
  expect([first, second]).toEqual([
    ["delivering", "success"],
    ["delivering", "success"],
  ]);
  expect(third).toEqual(["delivering", "delivering"]);
  streams.get("c")?.("success");
  await vi.waitFor(() => expect(third).toEqual(["delivering", "delivering", "success"]));
});

test("an upload that is held wants no stream: a person decides, maybe in days", async () => {
  const { state, streams } = gateway();
  state.set("a", "held");
  const held = follow("a");
  await vi.waitFor(() => expect(held).toEqual(["held"]));
  const other = follow("b");
  await vi.waitFor(() => expect([...streams.keys()]).toEqual(["b"]));
  streams.get("b")?.("success");
  await vi.waitFor(() => expect(other).toEqual(["delivering", "success"]));
});

test("beside a stream that is silent it is asked now and then; one that has missed the end is left", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    const { state, asked, streams } = gateway();
    const heard = follow("d");
    await vi.waitFor(() => expect(streams.has("d")).toBe(true));
    streams.get("d")?.("delivering");
    await vi.waitFor(() => expect(heard).toHaveLength(2));
    await vi.advanceTimersByTimeAsync(4_000);
    expect(asked).toEqual(["d", "d"]); // it is silent because nothing happens
    state.set("d", "success"); // and its connection is dead from now on
    await vi.advanceTimersByTimeAsync(10_000);
    expect(asked).toEqual(["d", "d", "d"]);
    follow("e");
    await vi.waitFor(() => expect([...streams.keys()]).toEqual(["d", "e"])); // the only stream is free again
  } finally {
    vi.useRealTimers();
  }
});
