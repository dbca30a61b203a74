/** Where the engine has a file's bytes from: sealed segments on the device, or the files that a person picked. */
import type { Queue } from "../queue/db";
import { type FileRow, SEGMENT_BYTES } from "../queue/rows";

/** Bytes that aren't to be had any more. */
export class Missing extends Error {
  constructor(readonly problem: "lost_here" | "unreadable") {
    super(problem);
  }
}

export interface ByteSource {
  /** @throws Missing */
  read(file: FileRow, start: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

export class SealedSegments implements ByteSource {
  constructor(private readonly queue: Queue) {}

  async read(file: FileRow, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const first = Math.floor(start / SEGMENT_BYTES);
    const last = Math.floor((end - 1) / SEGMENT_BYTES);
    const segments = await this.queue.segments(file.id, first, last);
    if (!segments) throw new Missing("lost_here");
    const begins = first * SEGMENT_BYTES;
    const [only] = segments;
    if (only && first === last) return new Uint8Array(only).subarray(start - begins, end - begins); // mostly: nothing to copy
    const piece = new Uint8Array(end - start);
    segments.forEach((bytes, number) => {
      const base = (first + number) * SEGMENT_BYTES;
      piece.set(new Uint8Array(bytes).subarray(Math.max(0, start - base), end - base), Math.max(0, base - start));
    });
    return piece;
  }
}

/** Files that are read before they are wanted, whole. */
export class Ahead implements ByteSource {
  private readonly begun = new Map<string, Promise<Uint8Array<ArrayBuffer>>>();

  constructor(private readonly source: ByteSource) {}

  begin(file: FileRow): void {
    if (this.begun.has(file.id)) return;
    const bytes = this.source.read(file, 0, file.size);
    bytes.catch(() => undefined); // told when they are wanted
    this.begun.set(file.id, bytes);
  }

  read(file: FileRow, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.begun.get(file.id);
    this.begun.delete(file.id);
    return bytes && start === 0 && end === file.size ? bytes : this.source.read(file, start, end);
  }

  /** What nobody wanted. */
  forget(): void {
    this.begun.clear();
  }
}

/** What the Worker that holds picked files is asked, and what it says. */
export interface FromSending {
  n: number;
  study: string;
  file: string;
  start: number;
  end: number;
}
export type ToSending =
  | { kind: "holds"; study: string }
  | { kind: "released"; study: string }
  | { kind: "bytes"; n: number; bytes: ArrayBuffer | null };

/** Files that this page's ingest Worker holds; what was copied before there was no more room is read from the copy. */
export class PickedFiles implements ByteSource {
  /** Studies whose files can be read now. */
  readonly studies = new Set<string>();
  private readonly asked = new Map<number, (bytes: ArrayBuffer | null) => void>();
  private count = 0;

  constructor(
    private readonly port: MessagePort,
    private readonly copied: ByteSource,
    changed: () => void,
  ) {
    port.addEventListener("message", ({ data }: MessageEvent<ToSending>) => {
      if (data.kind === "holds") this.studies.add(data.study);
      else if (data.kind === "released") this.studies.delete(data.study);
      else return this.answered(data.n, data.bytes);
      changed();
    });
    port.start();
  }

  async read(file: FileRow, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    if (file.state === "stored") return this.copied.read(file, start, end);
    this.count += 1;
    const n = this.count;
    const question: FromSending = { n, study: file.study_id, file: file.id, start, end };
    const bytes = await new Promise<ArrayBuffer | null>((done) => {
      this.asked.set(n, done);
      this.port.postMessage(question);
    });
    if (!bytes) throw new Missing("unreadable");
    return new Uint8Array(bytes);
  }

  private answered(n: number, bytes: ArrayBuffer | null): void {
    this.asked.get(n)?.(bytes);
    this.asked.delete(n);
  }
}
