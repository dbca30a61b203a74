import { expect, test } from "vitest";
import { Cursor, type Source } from "../src/ingest/source";

test("parts of one file that are asked for at the same time are each what they are", async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, at) => at % 251);
  const source = {
    size: bytes.length,
    async *pieces(size: number, start: number) {
      for (let at = start; at < bytes.length; at += size) yield bytes.slice(at, at + size).buffer;
    },
  } as unknown as Source;
  const cursor = new Cursor(source, 64);
  const parts = [0, 300, 600, 900].map((start) => [start, Math.min(start + 300, 1000)] as const);
  const read = await Promise.all(parts.map(([start, end]) => cursor.read(start, end)));
  expect(read).toEqual(parts.map(([start, end]) => bytes.slice(start, end)));
  await cursor.close();
});
