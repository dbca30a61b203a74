import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Queue } from "../src/queue/db";
import type { FileRow } from "../src/queue/rows";
import { Ahead, type ByteSource } from "../src/upload/bytes";
import { Marks, MOST_UNWRITTEN } from "../src/upload/marks";

/** A queue whose transactions commit when they are told to. */
class Slow {
  readonly transactions: { files: readonly string[]; done: () => void; failed: (error: Error) => void }[] = [];

  markSent(files: readonly string[]): Promise<void> {
    return new Promise((done, failed) => this.transactions.push({ files, done, failed }));
  }
}

const settled = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);

describe("files that were sent are written down", () => {
  let queue: Slow;
  let written: string[];
  let marks: Marks;

  beforeEach(() => {
    vi.stubGlobal("self", globalThis);
    vi.useFakeTimers();
    queue = new Slow();
    written = [];
    marks = new Marks(queue as unknown as Queue, (file) => written.push(file));
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  test("four of them by one transaction, and nobody waits for it", async () => {
    for (const file of "abcd") await marks.sent(file);
    await settled();
    expect(queue.transactions.map(({ files }) => files)).toEqual([["a", "b", "c", "d"]]);
    expect(written).toEqual([]);
    queue.transactions[0]?.done();
    await settled();
    expect(written).toEqual(["a", "b", "c", "d"]);
  });
  test("a single one soon, though no other comes", async () => {
    await marks.sent("a");
    expect(queue.transactions).toEqual([]);
    await vi.advanceTimersByTimeAsync(100);
    expect(queue.transactions.map(({ files }) => files)).toEqual([["a"]]);
  });
  test("with so many unwritten, the next one waits", async () => {
    const files = Array.from({ length: MOST_UNWRITTEN }, (_, number) => `f${number}`);
    for (const file of files.slice(0, -1)) await marks.sent(file);
    let goes = false;
    void marks.sent(files.at(-1) ?? "").then(() => (goes = true));
    await settled();
    expect(goes).toBe(false);
    queue.transactions[0]?.done();
    await settled();
    expect(goes).toBe(true);
  });
  test("the end waits for all of them", async () => {
    await marks.sent("a");
    let over = false;
    void marks.end().then(() => (over = true));
    await settled();
    expect(over).toBe(false);
    queue.transactions[0]?.done();
    await settled();
    expect([over, written]).toEqual([true, ["a"]]);
  });
  test("what can't be written down is told to whoever sends on, and at the end", async () => {
    for (const file of "abcd") await marks.sent(file);
    await settled();
    queue.transactions[0]?.failed(new Error("full"));
    await settled();
    await expect(marks.sent("e")).rejects.toThrow("full");
    const end = expect(marks.end()).rejects.toThrow("full");
    await settled();
    queue.transactions[1]?.done();
    await end;
    expect(written).toEqual(["e"]);
    await marks.end();
  });
});

describe("files that are read before they are wanted", () => {
  const file = { id: "a", size: 4 } as FileRow;
  const whole = new Uint8Array([1, 2, 3, 4]);

  function source(): ByteSource & { readonly reads: number } {
    let reads = 0;
    return {
      get reads() {
        return reads;
      },
      read: async (_file, start, end) => {
        reads += 1;
        return whole.subarray(start, end);
      },
    };
  }

  test("are read once", async () => {
    const from = source();
    const ahead = new Ahead(from);
    ahead.begin(file);
    ahead.begin(file);
    expect([await ahead.read(file, 0, 4), from.reads]).toEqual([whole, 1]);
  });
  test("are read again where a part of them is wanted", async () => {
    const from = source();
    const ahead = new Ahead(from);
    ahead.begin(file);
    expect([await ahead.read(file, 2, 4), from.reads]).toEqual([whole.subarray(2), 2]);
  });
  test("tell that they can't be read when they are wanted, not before", async () => {
    const ahead = new Ahead({ read: () => Promise.reject(new Error("gone")) });
    ahead.begin(file);
    await Promise.resolve();
    await expect(ahead.read(file, 0, 4)).rejects.toThrow("gone");
  });
});
