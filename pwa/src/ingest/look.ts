/** What the picked files are: headers of those that are DICOM, reasons for those that aren't; ZIPs are looked into. */
import { looksLikeDicom, type Reading, readHeader } from "../dicom/header";
import { twice } from "../twice";
import type { Left, Looked } from "./group";
import { FileSource, type Source } from "./source";
import { withoutTwins } from "./twins";

const WINDOW = 64 << 10;
/** For what has much to say before it names its study. */
const LARGER_WINDOWS = [4 << 20, 64 << 20];
const AT_ONCE = 8;

export interface Picked {
  file: File;
  path: string;
}

export interface Found {
  /** By `Looked.index`. */
  sources: Source[];
  looked: Looked[];
  left: Left[];
}

/**
 * @param tell how many were looked at, of how many; ZIPs add to the latter
 * @throws AbortError
 */
export async function look(
  picked: readonly Picked[],
  tell: (done: number, of: number) => void,
  signal: AbortSignal,
): Promise<Found> {
  const seen = new Looking(tell, signal);
  const files = new Map<Source, File>(picked.map(({ file, path }) => [new FileSource(file, path || file.name), file]));
  for (const zip of await seen.at([...files.keys()])) {
    const file = files.get(zip);
    if (!file) continue; // a ZIP is one of the picked files
    const { contents } = await twice(() => import("./zip"));
    const { sources, left } = await contents(file, zip.name);
    seen.left.push(...left);
    for (const inside of await seen.at(sources)) seen.left.push({ name: inside.name, why: "zip_inside" });
  }
  const { looked, twins } = await withoutTwins(seen.looked, seen.sources);
  signal.throwIfAborted();
  return { sources: seen.sources, looked, left: [...seen.left, ...twins] };
}

class Looking {
  readonly sources: Source[] = [];
  readonly left: Left[] = [];
  readonly looked: Looked[] = [];
  private done = 0;

  constructor(
    private readonly tell: (done: number, of: number) => void,
    private readonly signal: AbortSignal,
  ) {}

  /** @returns those that are ZIPs */
  async at(sources: readonly Source[]): Promise<Source[]> {
    const first = this.sources.length;
    for (const source of sources) this.sources.push(source);
    this.tell(this.done, this.sources.length);
    const zips: Source[] = [];
    const waiting = sources.entries();
    const line = async (): Promise<void> => {
      for (const [number, source] of waiting) {
        this.signal.throwIfAborted();
        const what = await readingOf(source).catch(() => "unreadable" as const);
        if (what === "zip") zips.push(source);
        else if (what === "unreadable") this.left.push({ name: source.name, why: what });
        else if ("header" in what) this.looked.push({ index: first + number, size: source.size, header: what.header });
        else this.left.push({ name: source.name, why: "more" in what ? "broken" : what.unfit });
        this.done += 1;
        if (this.done % 25 === 0) this.tell(this.done, this.sources.length);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, line));
    this.looked.sort((a, b) => a.index - b.index);
    return zips;
  }
}

async function readingOf(source: Source): Promise<Reading | "zip"> {
  const head = await source.head(WINDOW);
  if (looksLikeZip(head) && !looksLikeDicom(head)) return "zip";
  let reading = await readHeader(head, source.size <= WINDOW);
  for (const window of LARGER_WINDOWS) {
    if ("more" in reading) reading = await readHeader(await source.head(window), source.size <= window);
  }
  return reading;
}

/** A local file header, or the end record of a ZIP with nothing in it. */
export function looksLikeZip(start: Uint8Array): boolean {
  const [p, k, a, b] = start;
  return p === 0x50 && k === 0x4b && ((a === 3 && b === 4) || (a === 5 && b === 6));
}
