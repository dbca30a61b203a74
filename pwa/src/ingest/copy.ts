/** Copies files, encrypted, into the queue; what was copied is sent while the rest is being read. */
import type { Queue } from "../queue/db";
import { type FileRow, SEGMENT_BYTES } from "../queue/rows";
import type { Sealed } from "../queue/seal";
import type { Source } from "./source";

const SEGMENTS_PER_TX = 16;
const AT_ONCE = 4;

export interface Placed {
  row: FileRow;
  source: Source;
}

/**
 * @param signal leave the rest
 * @param tell files that are done with
 * @throws DOMException QuotaExceededError: what is written by then stays
 */
export async function copy(
  queue: Queue,
  files: readonly Placed[],
  signal: AbortSignal,
  tell: (done: number) => void,
): Promise<void> {
  const batches = new Batches(queue, tell);
  const waiting = files[Symbol.iterator]();
  const line = async (): Promise<void> => {
    for (const file of waiting) if (!signal.aborted) await copyOne(queue, file, batches, signal);
  };
  const lines = await Promise.allSettled(Array.from({ length: AT_ONCE }, line));
  await batches.end();
  const broken = lines.find((one) => one.status === "rejected");
  if (broken) throw broken.reason;
}

async function copyOne(queue: Queue, { row, source }: Placed, batches: Batches, signal: AbortSignal): Promise<void> {
  const pieces = source.pieces(SEGMENT_BYTES);
  let index = 0;
  try {
    while (!signal.aborted) {
      const next = await pieces.next().catch(() => null);
      // Gone from the disk, changed since it was picked, or a ZIP that breaks off.
      if (!next || (next.done && index !== row.segments))
        return await queue.changeFiles([row.id], { problem: "unreadable" });
      if (next.done) return batches.whole(row.id);
      await batches.put({ file: row.id, index, sealed: await queue.sealSegment(row.id, index, next.value) });
      index += 1;
    }
  } finally {
    batches.done += 1;
    await pieces.return();
  }
}

/** Segments on their way into the store: one transaction is filled while the one before it commits. */
class Batches {
  done = 0;
  private segments: { file: string; index: number; sealed: Sealed }[] = [];
  private wholes: string[] = [];
  private writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly queue: Queue,
    private readonly tell: (done: number) => void,
  ) {}

  async put(segment: { file: string; index: number; sealed: Sealed }): Promise<void> {
    this.segments.push(segment);
    if (this.segments.length >= SEGMENTS_PER_TX) await this.flush();
  }

  whole(file: string): void {
    this.wholes.push(file);
  }

  async end(): Promise<void> {
    await this.flush();
    await this.writing;
  }

  private async flush(): Promise<void> {
    const [segments, wholes, before] = [this.segments, this.wholes, this.writing];
    [this.segments, this.wholes] = [[], []];
    this.writing = before.then(async () => {
      await this.queue.putSegments(segments, wholes);
      this.tell(this.done);
    });
    this.writing.catch(() => undefined); // told by whoever waits for it
    await before;
  }
}
