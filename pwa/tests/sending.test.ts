import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FileRow } from "../src/queue/rows";
import { Refused } from "../src/upload/api";
import { holdForFile, MOST_HELD, wantStream } from "../src/upload/connections";
import { Sending, type Way } from "../src/upload/sending";
import { sendFile } from "../src/upload/tus";

vi.mock("../src/upload/tus", () => ({ sendFile: vi.fn() }));

/** Files on their way, whose gateway the test is. */
const under = new Map<string, { arrives: () => void; fails: (error: Error) => void }>();
let looks: () => void;
let most: number;
let answers: number[];
/** Rows of the study whose bytes are here, and how often it was asked for them. */
let here: FileRow[];
let asked: number;

beforeEach(() => {
  vi.stubGlobal("self", globalThis);
  under.clear();
  most = 3;
  answers = [];
  here = files;
  asked = 0;
  vi.mocked(sendFile).mockImplementation(
    ({ id }) =>
      new Promise<boolean>((arrives, fails) => {
        under.set(id, { arrives: () => arrives(true), fails });
      }),
  );
});
afterEach(() => void vi.unstubAllGlobals());

const files = Array.from({ length: 8 }, (_, number) => ({ id: String(number), size: 0 }) as FileRow);
const settled = (): Promise<void> => new Promise((done) => setTimeout(done));

function pass(leave = new AbortController().signal, of = files, left = 0): Promise<unknown> {
  const lanes = {
    get atOnce() {
      return most;
    },
    moved: () => undefined,
    refused: (status: number) => void answers.push(status),
    watch: (_busy: () => number, then: () => void) => {
      looks = then;
      return () => undefined;
    },
  };
  const way = {
    queue: { markSent: async () => undefined },
    token: async () => "",
    asked: new Set(),
    lanes,
    sendable: async () => {
      asked += 1;
      return here;
    },
  };
  const sending = new Sending({ ...way, onOffset: () => undefined } as unknown as Way);
  return sending.pass(of, left, false, new AbortController().signal, leave).catch((error: unknown) => error);
}

async function arrive(...ids: string[]): Promise<void> {
  for (const id of ids) {
    under.get(id)?.arrives();
    under.delete(id);
  }
  await settled();
}

test("as many files are on their way as help just now, more or fewer from one moment to the next", async () => {
  const over = pass();
  await settled();
  expect([...under.keys()]).toEqual(["0", "1", "2"]);
  most = 4;
  looks();
  await settled();
  expect([...under.keys()]).toEqual(["0", "1", "2", "3"]);
  most = 2;
  await arrive("0", "1");
  expect([...under.keys()]).toEqual(["2", "3"]);
  await arrive("2");
  expect([...under.keys()]).toEqual(["3", "4"]);
  most = 6;
  await arrive("3");
  expect([...under.keys()]).toEqual(["4", "5", "6", "7"]);
  await arrive("4", "5", "6", "7");
  expect(await over).toBeUndefined();
});

test("a gateway that is too busy is told to the rule; the others finish, and none more is begun in its place", async () => {
  const over = pass();
  await settled();
  const busy = new Refused(503, "draining");
  under.get("0")?.fails(busy);
  under.delete("0");
  await settled();
  expect(answers).toEqual([503]);
  expect([...under.keys()]).toEqual(["1", "2"]);
  for (let number = 1; number < files.length; number += 1) await arrive(String(number));
  expect(await over).toBe(busy);
});

test("never more than five connections are held: one of them is for the stream where an upload is followed", async () => {
  most = 6;
  const over = pass();
  await settled();
  expect(under.size).toBe(MOST_HELD);
  const unwant = wantStream();
  await arrive("0", "1");
  expect([...under.keys()]).toEqual(["2", "3", "4", "5"]);
  unwant();
  await settled();
  expect(under.size).toBe(MOST_HELD);
  for (const { id } of files) await arrive(id);
  expect(await over).toBeUndefined();
});

test("where others hold all of them the first file waits for one that ends", async () => {
  const ends = Array.from({ length: MOST_HELD }, holdForFile);
  const over = pass();
  await settled();
  expect(under.size).toBe(0);
  for (const end of ends) end();
  await settled();
  expect(under.size).toBe(3);
  for (const { id } of files) await arrive(id);
  expect(await over).toBeUndefined();
});

test("whoever gives way begins nothing more, and what is under way ends", async () => {
  const leave = new AbortController();
  const over = pass(leave.signal);
  await settled();
  leave.abort();
  await arrive("0", "1");
  expect([...under.keys()]).toEqual(["2"]);
  const urgent = pass(new AbortController().signal, [{ id: "urgent", size: 0 } as FileRow]);
  await settled();
  expect([...under.keys()]).toEqual(["2", "urgent"]);
  await arrive("urgent");
  expect(await urgent).toBeUndefined();
  await arrive("2");
  expect(await over).toBeUndefined();
});

test("what ends the study ends all of it", async () => {
  const over = pass();
  await settled();
  const gone = new Refused(410, "upload_gone");
  under.get("1")?.fails(gone);
  await settled();
  await arrive("0", "2");
  expect(await over).toBe(gone);
  expect([...under.keys()]).toEqual(["1"]);
});

test("a file that hangs holds up none of those whose bytes are here by now", async () => {
  const sized = (ids: string): FileRow[] => [...ids].map((id) => ({ id, size: 1 }) as FileRow);
  here = sized("0");
  const over = pass(undefined, here, 6);
  await settled();
  looks();
  await settled();
  expect([...under.keys()]).toEqual(["0"]);
  here = sized("0123");
  await vi.waitFor(() => {
    looks();
    expect([...under.keys()]).toEqual(["0", "1", "2"]);
  });
  const before = asked;
  looks();
  await settled();
  expect(asked).toBe(before); // there are enough
  await arrive("1", "2");
  expect([...under.keys()]).toEqual(["0", "3"]);
  here = sized("012345");
  await vi.waitFor(() => {
    looks();
    expect([...under.keys()]).toEqual(["0", "3", "4"]);
  });
  await arrive("3", "4");
  const all = asked;
  looks();
  await settled();
  expect(asked).toBe(all); // nothing more can come
  await arrive("0", "5");
  expect(await over).toBeUndefined();
});

test("what is still copied in keeps nobody at the end of a pass, and isn't begun by who has to leave", async () => {
  const one = [{ id: "0", size: 1 } as FileRow];
  const over = pass(undefined, one, 2);
  await settled();
  await arrive("0");
  expect(await over).toBeUndefined();
  const leave = new AbortController();
  const left = pass(leave.signal, one, 3);
  await settled();
  leave.abort();
  here = [...one, { id: "1", size: 1 } as FileRow];
  looks();
  await arrive("0");
  expect(await left).toBeUndefined();
  expect(under.size).toBe(0);
});

test("a device that can't say what is here by now is a trouble; what is on its way ends", async () => {
  const over = pass(undefined, [{ id: "0", size: 1 } as FileRow], 2);
  await settled();
  const broken = new DOMException("", "UnknownError");
  here = new Proxy([], {
    get: () => {
      throw broken;
    },
  });
  looks();
  await arrive("0");
  expect(await over).toBe(broken);
});
