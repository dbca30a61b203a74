import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Queue } from "../src/queue/db";
import type { FileRow } from "../src/queue/rows";
import { Refused } from "../src/upload/api";
import type { Carriage, CarriedAnswer } from "../src/upload/carry";
import { allow, MOST_HELD, whenDemanded } from "../src/upload/connections";
import { STEADY } from "../src/upload/lanes";
import { endsOf } from "../src/upload/parts";
import { FIRST_PACE } from "../src/upload/rules";
import { Sending, type Way } from "../src/upload/sending";

const MIB = 1 << 20;
const SIZE = MIB + 5;
const SOURCE = Uint8Array.from({ length: SIZE }, (_, at) => at % 251);
const ORIGIN = "https://relay.example.org";

/** Of each part. */
function sizes(ends: readonly number[]): number[] {
  return ends.map((end, number) => end - (ends[number - 1] ?? 0));
}

test("the end of a study is many small parts, and no connection is left alone with much", () => {
  const [size, left] = [40 * MIB, 100 * MIB];
  const ends = endsOf(size, left);
  expect(ends.at(-1)).toBe(size);
  expect(endsOf(size, size).length).toBeGreaterThan(ends.length);
  for (const [number, part] of sizes(ends).slice(0, -1).entries())
    expect(part).toBeLessThanOrEqual(Math.ceil((left - (ends[number - 1] ?? 0)) / 6));
  expect(Math.min(...sizes(endsOf(8 * MIB, 8 * MIB)))).toBeGreaterThanOrEqual(128 << 10);
  expect(endsOf(2 ** 40, 2 ** 40).length).toBeLessThanOrEqual(64);
});

test("of many files each goes whole while the others are enough for the line; a small one always", () => {
  expect(endsOf(2 * MIB, 20 * MIB)).toEqual([2 * MIB]);
  expect(endsOf(MIB / 4 - 1, MIB / 4 - 1)).toEqual([MIB / 4 - 1]);
});

test("the last files of a study go as parts, too: none of them is left alone to one connection", () => {
  const slice = 528_000;
  const parts = Array.from({ length: 14 }, (_, before) => endsOf(slice, (14 - before) * slice).length);
  expect(parts.slice(0, 9)).toEqual(Array(9).fill(1));
  expect(parts.at(-1)).toBe(4);
});

interface Kept {
  id: string;
  bytes: Uint8Array;
  length: number;
  concat: string | undefined;
}

function joined(...all: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const one of all) {
    whole.set(one, at);
    at += one.length;
  }
  return whole;
}

/** A gateway that knows tus with concatenation. */
class Gateway {
  readonly kept = new Map<string, Kept>();
  /** Creations of it, and all bytes that came. */
  readonly asked: string[] = [];
  received = 0;
  /** Answers get lost after so many requests. */
  answers = Number.POSITIVE_INFINITY;

  /** Where the file of this `file_id` is. */
  private at(id: string): Kept | undefined {
    return [...this.kept.values()].find((one) => one.id === id);
  }

  take(method: string, url: string, header: (name: string) => string | undefined, body: Uint8Array | null): Response {
    const path = new URL(url).pathname;
    let file = this.kept.get(path);
    let location = path;
    if (method === "POST") {
      const id = atob(/file_id (\S+?),/.exec(header("Upload-Metadata") ?? "")?.[1] ?? "");
      const concat = header("Upload-Concat");
      this.asked.push(id);
      file = this.at(id);
      const parts = concat?.startsWith("final;") ? concat.slice(6).split(" ") : [];
      if (file && parts.length > 0 && !file.concat) return problem(409, "other_dialect");
      if (parts.some((part) => !this.kept.has(new URL(part).pathname))) return problem(404, "not_found");
      if (!file) {
        const bytes = joined(...parts.map((part) => this.kept.get(new URL(part).pathname)?.bytes ?? new Uint8Array()));
        const length = parts.length > 0 ? bytes.length : Number(header("Upload-Length"));
        file = { id, bytes, length, concat };
        this.kept.set(`/files/${id}`, file);
      }
      location = [...this.kept].find(([, one]) => one === file)?.[0] ?? "";
    }
    if (!file) return new Response(null, { status: 404 });
    if (body && (method === "POST" ? file.bytes.length === 0 : true)) file.bytes = joined(file.bytes, body);
    this.received += body?.length ?? 0;
    const headers = {
      Location: ORIGIN + location,
      "Upload-Offset": String(file.bytes.length),
      "Upload-Length": String(file.length),
    };
    return new Response(null, { status: method === "POST" ? 201 : 204, headers });
  }

  carry = async ({ method, url, headers, body }: Carriage): Promise<CarriedAnswer> => {
    const answer = this.take(method, new URL(url, ORIGIN).href, (name) => headers.get(name), body);
    this.answers -= 1;
    if (this.answers < 0) throw new DOMException("cut", "NetworkError");
    return { status: answer.status, header: (name) => answer.headers.get(name) ?? undefined, text: "" };
  };
}

function problem(status: number, code: string): Response {
  return new Response(JSON.stringify({ code }), { status });
}

let gateway: Gateway;
let row: FileRow;

beforeEach(() => {
  gateway = new Gateway();
  row = { id: "file", study_id: "study", size: SIZE, state: "stored", url: null, offset: 0 } as FileRow;
  vi.stubGlobal("self", Object.assign(Object.create(globalThis), { location: new URL(`${ORIGIN}/upload.js`) }));
  vi.stubGlobal("fetch", async (url: string, { method, headers }: { method: string; headers: Headers }) =>
    gateway.take(method, url, (name) => headers.get(name) ?? undefined, null),
  );
});
afterEach(() => void vi.unstubAllGlobals());

/** @param told gets the offsets of the whole file */
function wayOf(told: number[], joins = true): Way {
  const queue = {
    changeFiles: async (_ids: string[], change: Partial<FileRow>) => {
      await new Promise((done) => setTimeout(done)); // a database takes its time
      row = structuredClone({ ...row, ...change });
    },
    acknowledged: async () => undefined,
    markSent: async () => {
      row = { ...row, state: "sent" };
    },
  };
  return {
    queue: queue as unknown as Queue,
    bytes: { read: async (_file, start, end) => SOURCE.slice(start, end) },
    creation: "/files/",
    token: async () => "token",
    pace: { ...FIRST_PACE },
    carry: gateway.carry,
    lanes: STEADY,
    joins: async () => joins,
    sendable: async () => [],
    asked: new Set(),
    onAllThere: () => undefined,
    onOffset: (_file, offset) => void told.push(offset),
  };
}

/** Somebody new goes on with what is written down. @returns offsets of the whole file that were told, and what broke it */
async function go(joins = true): Promise<{ told: number[]; broke: unknown }> {
  const told: number[] = [];
  const way = wayOf(told, joins);
  const never = new AbortController().signal;
  let broke: unknown = null;
  try {
    for (let first = true; row.state !== "sent"; first = false)
      await new Sending(way).pass([row], SIZE, first, never, never);
  } catch (error) {
    broke = error;
  }
  return { told, broke };
}

/** Whether the gateway has the file as it is. */
function isThere(): boolean {
  const found = [...gateway.kept.values()].find(({ id }) => id === "file")?.bytes;
  return found?.length === SIZE && found.every((byte, at) => byte === SOURCE[at]);
}

test("a large file goes as parts that are put together, each byte once", async () => {
  const { told, broke } = await go();
  expect(broke).toBeNull();
  expect(gateway.kept.size).toBeGreaterThan(5);
  expect(isThere()).toBe(true);
  expect(gateway.received).toBe(SIZE);
  expect(told.at(-1)).toBe(SIZE);
  expect(gateway.asked.filter((id) => id === "file")).toHaveLength(1); // joined once, however many parts end together
});

test("what goes whole anyway doesn't wait for the gateway's word on parts", async () => {
  const small = { ...row, id: "small", size: 1000 };
  const way = wayOf([]);
  const began: string[] = [];
  let say = (_joins: boolean): void => undefined;
  way.joins = () => new Promise((done) => (say = done));
  way.carry = (asked) => {
    began.push(asked.headers.get("Upload-Metadata") ?? "");
    return gateway.carry(asked);
  };
  const never = new AbortController().signal;
  const ended = new Sending(way).pass([small, row], SIZE + small.size, false, never, never);
  await vi.waitFor(() => expect(began).toHaveLength(1));
  expect(gateway.kept.has("/files/small")).toBe(true);
  say(true);
  await ended;
  expect(isThere()).toBe(true);
});

test("room that is there at once doesn't end a pass whose first file is still asked about", async () => {
  allow(1);
  whenDemanded(() => allow(MOST_HELD));
  try {
    const never = new AbortController().signal;
    await new Sending(wayOf([])).pass([row], SIZE, false, never, never);
  } finally {
    whenDemanded(() => undefined);
    allow(MOST_HELD);
  }
  expect(row.state).toBe("sent");
});

test("whoever completes is told once, when no byte of the study is missing any more", async () => {
  const never = new AbortController().signal;
  const way = wayOf([]);
  way.onAllThere = vi.fn(() => expect(gateway.received).toBe(SIZE));
  await new Sending(way).pass([row], SIZE, false, never, never);
  expect(way.onAllThere).toHaveBeenCalledTimes(1);
  gateway = new Gateway();
  row = { ...row, state: "stored", parts: null, offset: 0 };
  const more = { ...wayOf([]), carry: gateway.carry, onAllThere: vi.fn() };
  await new Sending(more).pass([row], SIZE + 1, false, never, never); // another file is still read
  expect(more.onAllThere).not.toHaveBeenCalled();
});

test("a gateway that can't be asked for parts is a trouble that passes; what went whole is sent", async () => {
  const small = { ...row, id: "small", size: 1000 };
  const way = wayOf([]);
  way.joins = () => Promise.reject(new Refused(0, "offline"));
  const never = new AbortController().signal;
  await expect(new Sending(way).pass([small, row], SIZE, false, never, never)).rejects.toThrow("offline");
  expect([...gateway.kept.keys()]).toEqual(["/files/small"]);
});

test("who has to leave while it is asked where to go on begins no piece any more", async () => {
  const leave = new AbortController();
  const ask = gateway.take.bind(gateway);
  gateway.take = (...request) => {
    leave.abort();
    return ask(...request);
  };
  await new Sending(wayOf([])).pass([row], SIZE, true, new AbortController().signal, leave.signal);
  expect(gateway.asked.length).toBeGreaterThan(0);
  expect(gateway.received).toBe(0);
  expect((await go()).broke).toBeNull();
  expect(isThere()).toBe(true);
});

test("wherever it was broken off, whoever goes on sends what is missing and nothing else", async () => {
  for (let answers = 0; ; answers += 1) {
    gateway = new Gateway();
    row = { ...row, state: "stored", parts: null, offset: 0 };
    gateway.answers = answers;
    if (!(await go()).broke) return expect(answers).toBeGreaterThan(5);
    gateway.answers = Number.POSITIVE_INFINITY;
    expect((await go()).broke).toBeNull();
    expect(gateway.received).toBe(SIZE);
    expect(isThere()).toBe(true);
  }
});

test("a gateway that puts nothing together gets the file whole", async () => {
  expect((await go(false)).broke).toBeNull();
  expect([...gateway.kept.keys()]).toEqual(["/files/file"]);
  expect(isThere()).toBe(true);
});

test("a file that was begun whole goes on whole, whether that was written down or not", async () => {
  const begun = { id: "file", bytes: new Uint8Array(), length: SIZE, concat: undefined };
  gateway.kept.set("/files/file", begun);
  expect((await go()).broke).toBeNull();
  expect(isThere()).toBe(true);
  gateway = new Gateway();
  gateway.kept.set("/files/file", { ...begun, bytes: new Uint8Array() });
  row = { ...row, state: "stored", parts: null, url: `${ORIGIN}/files/file` };
  expect((await go()).broke).toBeNull();
  expect([...gateway.kept.keys()]).toEqual(["/files/file"]);
  expect(gateway.received).toBe(SIZE);
});

test("a part that the gateway has lost is sent again, and no other", async () => {
  gateway.answers = 6;
  expect((await go()).broke).not.toBeNull();
  const [lost] = row.parts?.flatMap(({ url }) => url ?? []) ?? [];
  const path = new URL(lost ?? "").pathname;
  const size = gateway.kept.get(path)?.bytes.length ?? 0;
  gateway.kept.delete(path);
  gateway.answers = Number.POSITIVE_INFINITY;
  expect((await go()).broke).toBeNull();
  expect(isThere()).toBe(true);
  expect(gateway.received).toBe(SIZE + size);
});
