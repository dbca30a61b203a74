/**
 * What a DICOM file says about itself before its pixels (PS3.10 section 7, PS3.5 section 7): enough to group files and
 * to name them, nothing else. Reads a window of the file's beginning; knows no files, no screens.
 */
import { piecesOf } from "../streams";
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
  0x00280008: "frames",
} as const;
const UNDEFINED = 0xffffffff;
const MOST_NESTED = 32;
/** PS3.5 table 7.1-2: these have a length of two bytes; all others, unknown ones too, one of four. */
const SHORT_VRS = new Set("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split(" "));
/** Of old toolkits, for private elements: read with a length of two bytes. */
const NO_VRS = new Set(["??", "  ", "\0\0"]);
/** The whole data set is deflated: the syntax itself, and JPIP Referenced Deflate, HTJ2K too. */
const DEFLATED = new Set(["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"]);
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
 * What the gateway's scanner takes is read here too (`tests/vectors/dicom_headers.json`); what is wrong behind the UIDs is
 * for the gateway to say.
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
    if (meta.syntax === "" && !whole && meta.end + 2 > start.length) return { more: true };
    if (meta.syntax === "") return { unfit: "broken" };
    const data = DEFLATED.has(meta.syntax) ? await inflated(start.subarray(meta.end)) : start.subarray(meta.end);
    const found = new Walk(data).collect(encodingOf(meta.syntax));
    const header = named(found.values);
    if (header.studyUid && header.sopUid) return { header };
    return found.cut && !whole ? { more: true } : { unfit: "broken" };
  } catch (error) {
    if (!(error instanceof Cut)) return { unfit: "broken" };
    return whole ? { unfit: "broken" } : { more: true };
  }
}

class Cut extends Error {}

/** How element headers are written. */
interface Encoding {
  explicit: boolean;
  little: boolean;
}

const EXPLICIT_LITTLE: Encoding = { explicit: true, little: true };
const IMPLICIT_LITTLE: Encoding = { explicit: false, little: true };

function encodingOf(syntax: string): Encoding {
  if (syntax === IMPLICIT) return IMPLICIT_LITTLE;
  return syntax === BIG_ENDIAN ? { explicit: true, little: false } : EXPLICIT_LITTLE;
}

/** Group 0002: to where it says that it ends, or to the first element of another group. */
function readMeta(start: Uint8Array): { syntax: string; mediaClass: string; end: number } {
  const walk = new Walk(start, PREAMBLE_BYTES);
  const values = new Map<number, string>();
  let end = -1;
  while (walk.at !== end && walk.isAtGroup2()) {
    const { tag, value } = walk.next(EXPLICIT_LITTLE);
    values.set(tag, ascii(value));
    if (tag === 0x00020000 && value.length === 4) {
      // Some write 0, and nobody goes by it: the meta ends with its group then.
      const length = new DataView(value.slice().buffer).getUint32(0, true);
      end = length > 0 ? walk.at + length : -1;
    }
  }
  return { syntax: values.get(0x00020010) ?? "", mediaClass: values.get(0x00020002) ?? "", end: walk.at };
}

interface Element {
  tag: number;
  value: Uint8Array;
}

class Walk {
  private readonly view: DataView;

  constructor(
    private readonly bytes: Uint8Array,
    public at = 0,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  isAtGroup2(): boolean {
    return this.bytes[this.at] === 2 && this.bytes[this.at + 1] === 0;
  }

  /** The wanted elements of the main data set. `cut`: the window ended first. */
  collect(encoding: Encoding): { values: Map<Field, Uint8Array>; cut: boolean } {
    const values = new Map<Field, Uint8Array>();
    try {
      while (this.at < this.bytes.length) {
        const { tag, value } = this.next(encoding);
        const field = (WANTED as Record<number, Field>)[tag];
        if (field && !values.has(field)) values.set(field, value);
      }
    } catch (error) {
      return { values, cut: error instanceof Cut };
    }
    return { values, cut: true };
  }

  next(encoding: Encoding, depth = 0): Element {
    const tag = this.tag(encoding.little);
    const { vr, length, head } = this.size(tag, encoding);
    this.at += head;
    if (length === UNDEFINED) {
      // PS3.5 6.2.2: UN of undefined length is an implicit VR sequence, whatever is around it.
      this.skipItems(vr === "UN" ? IMPLICIT_LITTLE : encoding, depth + 1);
      return { tag, value: new Uint8Array() };
    }
    if (this.at + length > this.bytes.length) throw new Cut();
    const value = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return { tag, value };
  }

  /** PS3.5 7.1.2: explicit VR has two forms; items and delimiters have no VR. */
  private size(tag: number, { explicit, little }: Encoding): { vr: string; length: number; head: number } {
    if (!explicit || tag >= 0xfffe0000) return { vr: "", length: this.u32(this.at + 4, little), head: 8 };
    const vr = String.fromCharCode(this.u8(this.at + 4), this.u8(this.at + 5));
    if (SHORT_VRS.has(vr) || NO_VRS.has(vr)) return { vr, length: this.u16(this.at + 6, little), head: 8 };
    if (!/^[A-Z]{2}$/.test(vr)) throw new Error("no VR");
    return { vr, length: this.u32(this.at + 8, little), head: 12 };
  }

  /** A sequence of undefined length, up to its delimiter (PS3.5 7.5.2). */
  private skipItems(encoding: Encoding, depth: number): void {
    if (depth > MOST_NESTED) throw new Error("nested too deep");
    for (;;) {
      const tag = this.tag(encoding.little);
      const length = this.u32(this.at + 4, encoding.little);
      this.at += 8;
      if (tag === 0xfffee0dd) return;
      if (tag !== 0xfffee000) throw new Error("no item");
      if (length !== UNDEFINED) {
        if (this.at + length > this.bytes.length) throw new Cut();
        this.at += length;
        continue;
      }
      while (this.tag(encoding.little) !== 0xfffee00d) this.next(encoding, depth);
      this.at += 8;
    }
  }

  private tag(little: boolean): number {
    return this.u16(this.at, little) * 0x10000 + this.u16(this.at + 2, little);
  }

  private u8(at: number): number {
    if (at + 1 > this.bytes.length) throw new Cut();
    return this.view.getUint8(at);
  }

  private u16(at: number, little: boolean): number {
    if (at + 2 > this.bytes.length) throw new Cut();
    return this.view.getUint16(at, little);
  }

  private u32(at: number, little: boolean): number {
    if (at + 4 > this.bytes.length) throw new Cut();
    return this.view.getUint32(at, little);
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
  return String.fromCharCode(...bytes.subarray(0, 256)).replace(/^[\0 ]+|[\0 ]+$/g, "");
}

/**
 * What can be had of a deflated data set whose end is missing. PS3.5 A.5 pads it by a NUL, and some browsers give nothing
 * at all of what has a byte too many.
 */
async function inflated(padded: Uint8Array): Promise<Uint8Array> {
  const bytes = padded.at(-1) === 0 ? padded.subarray(0, -1) : padded;
  const stream = new Blob([bytes.slice()]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of piecesOf(stream)) {
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
