/**
 * Files whose bytes are not all in the queue, by study, for as long as this page lives. A Web Lock per study tells every
 * tab that somebody has them: when it is free, the page has gone and a person has to pick them again.
 */

import type { Queue } from "../queue/db";
import { ENDED, holds } from "../queue/rows";
import type { FromSending, ToSending } from "../upload/bytes";
import type { Channel } from "../upload/channel";
import { Cursor, type Source } from "./source";

const PIECE_BYTES = 256 << 10;
/** Files that are read at one time: as many as are sent, and those that were just begun again. */
const MOST_OPEN = 8;

interface Held {
  files: ReadonlyMap<string, Source>;
  stop: AbortController;
  release: () => void;
}

export class Holding {
  private readonly studies = new Map<string, Held>();
  private readonly open = new Map<string, Cursor>();
  private port: MessagePort | null = null;

  /** Lets go of a study when it is over. */
  constructor(queue: Promise<Queue>, channel: Channel) {
    channel.listen((news) => {
      if (news.kind === "changed" && this.studies.has(news.study)) void this.letGoWhenOver(queue, news.study);
    });
  }

  private async letGoWhenOver(queue: Promise<Queue>, study: string): Promise<void> {
    const row = await (await queue).study(study);
    if (!row || ENDED.has(row.status) || row.status === "delivering" || row.status === "held") this.release(study);
  }

  /** The line to the Worker that sends: it asks for bytes of the studies that were offered to it. */
  connect(port: MessagePort): void {
    this.port = port;
    port.addEventListener("message", (event: MessageEvent<FromSending>) => void this.answer(event.data));
    port.start();
  }

  has(study: string): boolean {
    return this.studies.has(study);
  }

  files(study: string): ReadonlyMap<string, Source> {
    return this.studies.get(study)?.files ?? new Map<string, Source>();
  }

  /** From now on the study's bytes are somebody's business. Before its row is written: no tab finds it abandoned. */
  async hold(study: string, files: ReadonlyMap<string, Source>): Promise<void> {
    this.release(study);
    const release = await new Promise<() => void>((held) => {
      void navigator.locks.request(holds(study), () => new Promise<void>((done) => held(done)));
    });
    this.studies.set(study, { files, stop: new AbortController(), release });
  }

  /** Aborted when the study is let go of. */
  signal(study: string): AbortSignal {
    return this.studies.get(study)?.stop.signal ?? AbortSignal.abort();
  }

  /** Let the Worker that sends read the study's files from here. */
  offer(study: string): void {
    this.tell({ kind: "holds", study });
  }

  release(study: string): void {
    const held = this.studies.get(study);
    if (!held) return;
    this.studies.delete(study);
    held.stop.abort();
    for (const file of held.files.keys()) void this.shut(file);
    this.tell({ kind: "released", study });
    held.release();
  }

  private async answer({ n, study, file, start, end }: FromSending): Promise<void> {
    const source = this.studies.get(study)?.files.get(file);
    const bytes = source && (await this.read(file, source, start, end).catch(() => null));
    this.tell({ kind: "bytes", n, bytes: bytes ? bytes.buffer : null }, bytes ? [bytes.buffer] : []);
  }

  private async read(file: string, source: Source, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const cursor = this.open.get(file) ?? new Cursor(source, PIECE_BYTES);
    this.open.delete(file);
    this.open.set(file, cursor); // the last one used is the last one shut
    for (const other of [...this.open.keys()].slice(0, -MOST_OPEN)) void this.shut(other);
    try {
      return await cursor.read(start, end);
    } finally {
      if (end >= source.size) await this.shut(file);
    }
  }

  private async shut(file: string): Promise<void> {
    const cursor = this.open.get(file);
    this.open.delete(file);
    await cursor?.close().catch(() => undefined);
  }

  private tell(news: ToSending, transfer: Transferable[] = []): void {
    this.port?.postMessage(news, transfer);
  }
}
