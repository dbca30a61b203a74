import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FileRow } from "../src/queue/rows";
import { type Carriage, type CarriedAnswer, GIVEN_UP } from "../src/upload/carry";
import { wholeOf } from "../src/upload/parcels";
import { FIRST_PACE } from "../src/upload/rules";
import { sendFile, type Transfer } from "../src/upload/tus";

const MIB = 1 << 20;

beforeEach(
  () =>
    void vi.stubGlobal("self", {
      location: {
        origin: "https://relay.example.org",
        pathname: "/upload.js",
        href: "https://relay.example.org/upload.js",
      },
    }),
);
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

/** A line on which so many requests are given up: each had brought the gateway so many bytes. */
function dying(times: number, brings: number): { asked: string[]; carry: (asked: Carriage) => Promise<CarriedAnswer> } {
  const asked: string[] = [];
  let lost = times;
  let offset = 0;
  const headers = new Map([
    ["Location", "/files/a"],
    ["Upload-Length", String(3 * MIB)],
  ]);
  const header = (name: string): string | undefined => (name === "Upload-Offset" ? String(offset) : headers.get(name));
  vi.stubGlobal("fetch", async () => {
    asked.push("creation again");
    return new Response(null, { status: 200, headers: [...headers, ["Upload-Offset", String(offset)]] });
  });
  return {
    asked,
    carry: async ({ method, body }) => {
      asked.push(`${method} ${body?.byteLength ?? 0}`);
      if (body && lost > 0) {
        lost -= 1;
        offset += brings;
        throw new DOMException("dead", GIVEN_UP);
      }
      offset += body?.byteLength ?? 0;
      return { status: method === "POST" ? 201 : 204, header, text: "" };
    },
  };
}

test("a request whose connection is dead goes on at once over another, from what the gateway has", async () => {
  const { asked, carry } = dying(1, 1000);
  expect(await sendFile(wholeOf(FILE), transfer({ carry }))).toBe(true);
  expect(asked).toEqual([
    "POST 1048576",
    "creation again", // tells what the gateway has, too
    "PATCH 1048576",
    "PATCH 1048576",
    `PATCH ${MIB - 1000}`,
  ]);
});

test("given up again and again, with nothing more at the gateway, it waits, and asks for less at once", async () => {
  const { carry } = dying(10, 0);
  const to = transfer({ carry });
  await expect(sendFile(wholeOf(FILE), to)).rejects.toMatchObject({ status: 0 });
  expect(to.pace.chunk).toBeLessThan(MIB);
});

test("what arrived late of an earlier request took its place: it goes on at once", async () => {
  const { asked, carry } = gateway();
  let taken = false;
  const late = async (one: Carriage): Promise<CarriedAnswer> => {
    if (one.method !== "PATCH" || taken) return carry(one);
    taken = true;
    return { status: 409, header: () => undefined, text: '{"code":"taken_over"}' };
  };
  expect(await sendFile(wholeOf(FILE), transfer({ carry: late }))).toBe(true);
  expect(asked).toEqual(["POST", "HEAD", "PATCH", "PATCH"]);
});
