import { describe, expect, test } from "vitest";
import { contents } from "../src/ingest/zip";

interface Entry {
  name: string;
  data: Uint8Array<ArrayBuffer>;
  /** What the headers say, where that is not the truth. */
  declared?: number;
  flags?: number;
  method?: number;
}

function fields(...all: readonly (readonly [bytes: 2 | 4, value: number])[]): Uint8Array<ArrayBuffer> {
  return joined(all.map(([bytes, value]) => Uint8Array.from({ length: bytes }, (_, at) => (value >>> (8 * at)) & 255)));
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

const text = (value: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(value);

async function deflated(data: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(
    await new Response(new Blob([data]).stream().pipeThrough(new CompressionStream("deflate-raw"))).arrayBuffer(),
  );
}

function crc32(data: Uint8Array): number {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** A ZIP as APPNOTE 4.3 has it: local headers with their data, the central directory, its end. */
async function zip(entries: readonly Entry[], { shared = false } = {}): Promise<Blob> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data, declared = data.length, flags = 0, method = 8 } of entries) {
    const packed = method === 8 ? await deflated(data) : data;
    const common = fields(
      [2, 20],
      [2, flags],
      [2, method],
      [4, 0],
      [4, crc32(data)],
      [4, packed.length],
      [4, declared],
      [2, name.length],
      [2, 0],
    );
    const place = fields([2, 0], [2, 0], [2, 0], [4, 0], [4, shared ? 0 : at]);
    directory.push(text("PK\x01\x02\x14\0"), common, place, text(name));
    if (shared && at > 0) continue;
    const local = joined([text("PK\x03\x04"), common, text(name), packed]);
    parts.push(local);
    at += local.length;
  }
  const listed = joined(directory);
  const end = joined([
    text("PK\x05\x06"),
    fields([2, 0], [2, 0], [2, entries.length], [2, entries.length], [4, listed.length], [4, at], [2, 0]),
  ]);
  return new Blob([...parts, listed, end]);
}

const TEXT = text("0123456789".repeat(100_000));

async function read(blob: Blob, bytes = 1 << 18, start = 0): Promise<string> {
  const [source] = (await contents(blob, "a.zip")).sources;
  const pieces: Uint8Array[] = [];
  if (!source) throw new Error("nothing in it");
  for await (const piece of source.pieces(bytes, start)) pieces.push(new Uint8Array(piece));
  return new TextDecoder().decode(joined(pieces));
}

async function left(blob: Blob): Promise<string[]> {
  return (await contents(blob, "a.zip")).left.map((one) => one.why);
}

describe("entries of a ZIP", () => {
  test("are listed with their size and read in pieces, deflated and stored, from anywhere", async () => {
    for (const method of [0, 8]) {
      const blob = await zip([{ name: "x/1", data: TEXT, method }]);
      const [source] = (await contents(blob, "a.zip")).sources;
      expect([source?.name, source?.size]).toEqual(["a.zip/x/1", TEXT.length]);
      expect(await read(blob)).toBe(new TextDecoder().decode(TEXT));
      expect(await read(blob, 7, 999_980)).toBe("01234567890123456789");
      expect(new TextDecoder().decode((await source?.head(12)) ?? new Uint8Array())).toBe("012345678901");
    }
  });
  test("a name that climbs out of its folder is only a name", async () => {
    const { sources } = await contents(await zip([{ name: "../../etc/x", data: TEXT }]), "a.zip");
    expect(sources[0]?.name).toBe("a.zip/../../etc/x");
  });
  test("that give more or less than they declare are refused while they are read", async () => {
    await expect(read(await zip([{ name: "more", data: TEXT, declared: 5000 }]))).rejects.toThrow();
    await expect(read(await zip([{ name: "less", data: TEXT, declared: TEXT.length + 1 }]))).rejects.toThrow();
  });
  test("that declare more than deflate can give are not even tried", async () => {
    expect(await left(await zip([{ name: "bomb", data: TEXT, declared: 0xfffffff0 }]))).toEqual(["zip_broken"]);
  });
  test("that share their bytes make the whole a bomb", async () => {
    const noise = Uint8Array.from({ length: 20_000 }, (_, n) => (n * n * 31) % 251);
    const many = Array.from({ length: 50 }, (_, n) => ({ name: `${n}`, data: noise, method: 0 }));
    expect(await left(await zip(many, { shared: true }))).toEqual(["zip_broken"]);
  });
  test("with a password, or packed in another way, are named with their reason", async () => {
    const blob = await zip([
      { name: "locked", data: TEXT, flags: 1 },
      { name: "odd", data: TEXT, method: 12 },
      { name: "good", data: TEXT },
    ]);
    expect(await left(blob)).toEqual(["zip_encrypted", "zip_method"]);
    expect((await contents(blob, "a.zip")).sources).toHaveLength(1);
  });
  test("a ZIP that was cut off is broken as a whole", async () => {
    const whole = await zip([{ name: "1", data: TEXT }]);
    expect(await left(whole.slice(0, whole.size - 30))).toEqual(["zip_broken"]);
  });
});
