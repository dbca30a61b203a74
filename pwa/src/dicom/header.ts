/**
 * What a DICOM file says about itself before its pixels (PS3.10 section 7, PS3.5 section 7): enough to group files and
 * to name them, nothing else. Reads a window of the file's beginning; knows no files, no screens.
 */
import { decode } from "./charset";

/** Elements we want, by tag; everything else is stepped over. */
const WANTED = {
  0x00080005: "charset",
  0x00080016: "sopClass",
  0x00080018: "sopUid",
  0x00080020: "studyDate",
  0x00080050: "accession",
  0x00080060: "modality",
  0x00080090: "referring",
  0x00081030: "studyDescription",
  0x00100010: "patientName",
  0x00100020: "patientId",
  0x00100030: "birthDate",
  0x00100040: "sex",
  0x0020000d: "studyUid",
  0x0020000e: "seriesUid",
} as const;
const LAST_WANTED = 0x0020000e;
const UNDEFINED = 0xffffffff;
const MOST_NESTED = 32;
const LONG_VRS = new Set(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]);
const DEFLATED = "1.2.840.10008.1.2.1.99";
const BIG_ENDIAN = "1.2.840.10008.1.2.2";
const IMPLICIT = "1.2.840.10008.1.2";
const DIRECTORY = "1.2.840.10008.1.3.10";

type Field = (typeof WANTED)[keyof typeof WANTED];
/** A field that isn't there is "", one whose bytes don't fit its character set is null. */
export type Header = { [name in Exclude<Field, "charset">]: string | null };

/** Why a file is not sent. */
export type Unfit = "empty" | "not_dicom" | "directory" | "broken";
export type Reading = { header: Header } | { unfit: Unfit } | { more: true };

export const PREAMBLE_BYTES = 132;

/** It has DICM where that belongs: the content decides, not the name. */
export function looksLikeDicom(start: Uint8Array): boolean {
  return (
    start.length >= PREAMBLE_BYTES &&
    start[128] === 0x44 &&
    start[129] === 0x49 &&
    start[130] === 0x43 &&
    start[131] === 0x4d
  );
}

/**
 * @param start the file's first bytes
 * @param whole these are all bytes of the file
 * @returns `more`: the window ends before the study is named; ask again with a larger one
 */
export async function readHeader(start: Uint8Array, whole: boolean): Promise<Reading> {
  if (start.length === 0) return { unfit: "empty" };
  if (!looksLikeDicom(start)) return { unfit: "not_dicom" };
  try {
    const meta = readMeta(start);
    if (meta.mediaClass === DIRECTORY) return { unfit: "directory" };
    const data = meta.syntax === DEFLATED ? await inflated(start.subarray(meta.end)) : start.subarray(meta.end);
    const found = new Walk(data, meta.syntax !== IMPLICIT, meta.syntax !== BIG_ENDIAN).collect();
    const header = named(found.values);
    if (header.studyUid && header.sopUid) return { header };
    return found.cut && !whole ? { more: true } : { unfit: "broken" };
  } catch (error) {
    if (!(error instanceof Cut)) return { unfit: "broken" };
    return whole ? { unfit: "broken" } : { more: true };
  }
}

class Cut extends Error {}

function readMeta(start: Uint8Array): { syntax: string; mediaClass: string; end: number } {
  const walk = new Walk(start, true, true, PREAMBLE_BYTES);
  let syntax = "";
  let mediaClass = "";
  for (;;) {
    if (walk.at + 4 > start.length) break;
    if (walk.peekGroup() !== 0x0002) break;
    const element = walk.next();
    if (element.tag === 0x00020010) syntax = ascii(element.value);
    if (element.tag === 0x00020002) mediaClass = ascii(element.value);
  }
  return { syntax, mediaClass, end: walk.at };
}

interface Element {
  tag: number;
  value: Uint8Array;
}

class Walk {
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly explicit: boolean,
    private readonly little: boolean,
    public at = 0,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The wanted elements of the main data set. `cut`: the window ended first. */
  collect(): { values: Map<Field, Uint8Array>; cut: boolean } {
    const values = new Map<Field, Uint8Array>();
    try {
      while (this.at < this.bytes.length) {
        const element = this.next();
        if (element.tag > LAST_WANTED) return { values, cut: false };
        const field = (WANTED as Record<number, Field>)[element.tag];
        if (field) values.set(field, element.value);
      }
    } catch (error) {
      if (!(error instanceof Cut)) throw error;
    }
    return { values, cut: true };
  }

  peekGroup(): number {
    return this.u16(this.at);
  }

  next(depth = 0): Element {
    const tag = this.u16(this.at) * 0x10000 + this.u16(this.at + 2);
    const { length, head } = this.size(tag);
    this.at += head;
    if (length === UNDEFINED) {
      this.skipItems(depth + 1);
      return { tag, value: new Uint8Array() };
    }
    if (this.at + length > this.bytes.length) throw new Cut();
    const value = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return { tag, value };
  }

  /** PS3.5 7.1.2: explicit VR has two forms; items and delimiters have no VR. */
  private size(tag: number): { length: number; head: number } {
    if (!this.explicit || tag >= 0xfffe0000) return { length: this.u32(this.at + 4), head: 8 };
    const vr = String.fromCharCode(this.u8(this.at + 4), this.u8(this.at + 5));
    if (!/^[A-Z]{2}$/.test(vr)) throw new Error("no VR");
    return LONG_VRS.has(vr) ? { length: this.u32(this.at + 8), head: 12 } : { length: this.u16(this.at + 6), head: 8 };
  }

  /** A sequence of undefined length, up to its delimiter (PS3.5 7.5.2). */
  private skipItems(depth: number): void {
    if (depth > MOST_NESTED) throw new Error("nested too deep");
    for (;;) {
      const tag = this.u16(this.at) * 0x10000 + this.u16(this.at + 2);
      const length = this.u32(this.at + 4);
      this.at += 8;
      if (tag === 0xfffee0dd) return;
      if (tag !== 0xfffee000) throw new Error("no item");
      if (length !== UNDEFINED) {
        if (this.at + length > this.bytes.length) throw new Cut();
        this.at += length;
        continue;
      }
      while (this.u16(this.at) !== 0xfffe || this.u16(this.at + 2) !== 0xe00d) this.next(depth);
      this.at += 8;
    }
  }

  private u8(at: number): number {
    if (at + 1 > this.bytes.length) throw new Cut();
    return this.view.getUint8(at);
  }

  private u16(at: number): number {
    if (at + 2 > this.bytes.length) throw new Cut();
    return this.view.getUint16(at, this.little);
  }

  private u32(at: number): number {
    if (at + 4 > this.bytes.length) throw new Cut();
    return this.view.getUint32(at, this.little);
  }
}

function named(values: Map<Field, Uint8Array>): Header {
  const charset = ascii(values.get("charset") ?? new Uint8Array());
  const entries = Object.values(WANTED)
    .filter((field): field is keyof Header => field !== "charset")
    .map((field) => [field, decode(values.get(field) ?? new Uint8Array(), charset)]);
  return Object.fromEntries(entries) as Header;
}

function ascii(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, 256)).replace(/[\0 ]+$/, "");
}

/** What can be had of a deflated data set whose end is missing. */
async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes.slice()]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of stream) {
      pieces.push(piece);
      size += piece.length;
      if (size > 8 << 20) break;
    }
  } catch {
    // Cut in the middle, as a window is.
  }
  const all = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
