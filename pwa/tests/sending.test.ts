import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FileRow } from "../src/queue/rows";
import { Refused } from "../src/upload/api";
import { Sending, type Way } from "../src/upload/sending";
import { sendFile } from "../src/upload/tus";

vi.mock("../src/upload/tus", () => ({ sendFile: vi.fn() }));

/** Files on their way, whose gateway the test is. */
const under = new Map<string, { arrives: () => void; fails: (error: Error) => void }>();
let looks: () => void;
let most: number;
let answers: number[];

beforeEach(() => {
  vi.stubGlobal("self", globalThis);
  under.clear();
  most = 3;
  answers = [];
  vi.mocked(sendFile).mockImplementation(
    ({ id }) =>
      new Promise((arrives, fails) => {
        under.set(id, { arrives, fails });
      }),
  );
});
afterEach(() => void vi.unstubAllGlobals());

const files = Array.from({ length: 8 }, (_, number) => ({ id: String(number), size: 0 }) as FileRow);
const settled = (): Promise<void> => new Promise((done) => setTimeout(done));

function pass(): Promise<unknown> {
  const traffic = {
    get atOnce() {
      return most;
    },
    moved: () => undefined,
    answered: (status: number) => void answers.push(status),
    watch: (_busy: () => number, then: () => void) => {
      looks = then;
      return () => undefined;
    },
  };
  const way = { queue: { markSent: async () => undefined }, token: async () => "", asked: new Set(), traffic };
  const sending = new Sending({ ...way, onOffset: () => undefined } as unknown as Way);
  return sending.pass(files, new AbortController().signal).catch((error: unknown) => error);
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
