import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FileRow } from "../src/queue/rows";
import type { Carriage, CarriedAnswer } from "../src/upload/carry";
import { wholeOf } from "../src/upload/parcels";
import { FIRST_PACE } from "../src/upload/rules";
import { sendFile, type Transfer } from "../src/upload/tus";

const MIB = 1 << 20;

beforeEach(() => void vi.stubGlobal("self", { location: { href: "https://relay.example.org/upload.js" } }));
afterEach(() => void vi.unstubAllGlobals());

/** A gateway that takes all that it is brought. */
function gateway(): { asked: string[]; carry: (asked: Carriage) => Promise<CarriedAnswer> } {
  const asked: string[] = [];
  let offset = 0;
  return {
    asked,
    carry: async ({ method, body }) => {
      asked.push(method);
      offset += body?.byteLength ?? 0;
      const headers = new Map([
        ["Location", "/files/a"],
        ["Upload-Offset", String(offset)],
        ["Upload-Length", String(3 * MIB)],
      ]);
      return { status: method === "POST" ? 201 : 204, header: (name) => headers.get(name), text: "" };
    },
  };
}

const FILE = { id: "a", size: 3 * MIB, url: null } as FileRow;

function transfer(more: Partial<Transfer>): Transfer {
  return {
    queue: { changeFiles: async () => undefined, acknowledged: async () => undefined },
    bytes: { read: async (_file: FileRow, start: number, end: number) => new Uint8Array(end - start) },
    creation: "https://relay.example.org/files/",
    token: async () => "token",
    pace: { ...FIRST_PACE, most: MIB },
    asked: false,
    signal: new AbortController().signal,
    leave: new AbortController().signal,
    moved: () => undefined,
    onOffset: () => undefined,
    ...more,
  } as unknown as Transfer;
}

test("a file goes in pieces, the first with its creation", async () => {
  const { asked, carry } = gateway();
  expect(await sendFile(wholeOf(FILE), transfer({ carry }))).toBe(true);
  expect(asked).toEqual(["POST", "PATCH", "PATCH"]);
});

test("what is to give way is left at the end of its piece, and goes on from there", async () => {
  const { asked, carry } = gateway();
  const leave = new AbortController();
  const offsets: number[] = [];
  const onOffset = (offset: number): void => {
    offsets.push(offset);
    if (offset === MIB) leave.abort();
  };
  expect(await sendFile(wholeOf(FILE), transfer({ carry, onOffset, leave: leave.signal }))).toBe(false);
  expect(asked).toEqual(["POST"]);
  const again = wholeOf({ ...FILE, url: "https://relay.example.org/files/a" });
  expect(await sendFile(again, transfer({ carry, onOffset }))).toBe(true);
  expect(asked).toEqual(["POST", "HEAD", "PATCH", "PATCH"]);
  expect(offsets).toEqual([MIB, 2 * MIB, 3 * MIB]);
});
