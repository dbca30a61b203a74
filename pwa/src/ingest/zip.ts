/**
 * What is in a ZIP, without unpacking it: entries are inflated while they are read, and again each time. Nothing of it
 * is believed: an entry that gives more or less than it declares is broken, names lead nowhere. Loaded when a ZIP is
 * picked.
 */
import {
  type CreateReadableOptions,
  type FileEntry,
  type Reader,
  ZipReader,
} from "@zip.js/zip.js/lib/zip-core-reader.js";
import { piecesOf } from "../streams";
import type { Left } from "./group";
import type { Source } from "./source";

/** A CD has some thousands; a ZIP with more than this was made to stall its reader. */
const MOST_ENTRIES = 50_000;
/** Of every method, deflate's is the best that can be had: 1032 to 1. */
const MOST_RATIO = 1032;
const STORED = 0;
const DEFLATED = 8;

export interface Contents {
  sources: Source[];
  left: Left[];
}

/** @param name of the ZIP, as it is shown */
export async function contents(file: Blob, name: string): Promise<Contents> {
  const reader = new ZipReader(new BlobReader(file), {
    useWebWorkers: false,
    checkSignature: true,
    filenameValidation: "tolerant",
  });
  const sources: Source[] = [];
  const left: Left[] = [];
  let packed = 0;
  try {
    for await (const entry of reader.getEntriesGenerator()) {
      if (entry.directory) continue;
      if (sources.length + left.length >= MOST_ENTRIES) return { sources: [], left: [{ name, why: "zip_many" }] };
      const shown = `${name}/${entry.filename}`;
      packed += entry.compressedSize;
      if (entry.encrypted) left.push({ name: shown, why: "zip_encrypted" });
      else if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED)
        left.push({ name: shown, why: "zip_method" });
      else if (impossible(entry)) left.push({ name: shown, why: "zip_broken" });
      else sources.push(new ZipSource(entry, shown));
    }
  } catch (error) {
    const encrypted = error instanceof Error && /encrypted/i.test(error.message);
    return { sources: [], left: [{ name, why: encrypted ? "zip_encrypted" : "zip_broken" }] };
  }
  // Entries that share their packed bytes: a few megabytes that unpack to petabytes.
  if (packed > file.size) return { sources: [], left: [{ name, why: "zip_broken" }] };
  return { sources, left };
}

function impossible({ compressionMethod, compressedSize, uncompressedSize }: FileEntry): boolean {
  if (!Number.isSafeInteger(uncompressedSize)) return true;
  return compressionMethod === STORED
    ? uncompressedSize !== compressedSize
    : uncompressedSize > compressedSize * MOST_RATIO;
}

/** The library's own is not in its small build. */
class BlobReader implements Reader<Blob> {
  readonly size: number;

  constructor(private readonly blob: Blob) {
    this.size = blob.size;
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.createReadable();
  }

  createReadable({ offset = 0, size = this.size - offset }: CreateReadableOptions = {}): ReadableStream<Uint8Array> {
    return this.blob.slice(offset, offset + size).stream();
  }

  async readUint8Array(at: number, length: number): Promise<Uint8Array> {
    return new Uint8Array(await this.blob.slice(at, at + length).arrayBuffer());
  }
}

class ZipSource implements Source {
  constructor(
    private readonly entry: FileEntry,
    readonly name: string,
  ) {}

  get size(): number {
    return this.entry.uncompressedSize;
  }

  async head(bytes: number): Promise<Uint8Array> {
    const pieces = this.pieces(bytes);
    try {
      const first = await pieces.next();
      return first.done ? new Uint8Array() : new Uint8Array(first.value);
    } finally {
      await pieces.return();
    }
  }

  async *pieces(bytes: number, start = 0): AsyncGenerator<ArrayBuffer, void, undefined> {
    const stop = new AbortController();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    // It writes no faster than it is read; its end, good or bad, is the stream's.
    const inflating = this.entry.getData(writable, { signal: stop.signal }).then(
      () => null,
      (error: unknown) => error ?? new Error("stopped"),
    );
    let unseen = start;
    let out = 0;
    let piece = new Uint8Array(bytes);
    let filled = 0;
    try {
      for await (const some of piecesOf(readable)) {
        out += some.length;
        if (out > this.size) throw new Error("longer than it declares");
        let at = Math.min(unseen, some.length);
        unseen -= at;
        while (at < some.length) {
          const step = Math.min(some.length - at, bytes - filled);
          piece.set(some.subarray(at, at + step), filled);
          at += step;
          filled += step;
          if (filled < bytes) continue;
          yield piece.buffer;
          piece = new Uint8Array(bytes);
          filled = 0;
        }
      }
      const failed = await inflating;
      if (failed) throw failed;
      if (out !== this.size) throw new Error("shorter than it declares");
      if (filled > 0) yield piece.buffer.slice(0, filled);
    } finally {
      stop.abort();
      await inflating;
    }
  }
}
