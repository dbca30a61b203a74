/** What goes as one upload of tus: a file, or a part of one. The row of a parted file says how, and where those are that arrived. */
import type { Queue } from "../queue/db";
import type { FileRow, PartRow } from "../queue/rows";

export interface Parcel {
  /** Towards the gateway: whoever asks for its creation twice gets the same. */
  readonly id: string;
  readonly file: FileRow;
  /** Of the file. */
  readonly start: number;
  readonly size: number;
  /** What it is a part of; null: it is the whole file. */
  readonly parted: Parted | null;
  readonly number: number;
  /** Where the gateway has it; null: not known. */
  url: string | null;
}

export function wholeOf(file: FileRow): Parcel {
  return { id: file.id, file, start: 0, size: file.size, parted: null, number: 0, url: file.url };
}

/** A file that goes as parts. */
export class Parted {
  private readonly parts: PartRow[];
  private readonly gone: number[];
  private joined = false;

  constructor(
    readonly file: FileRow,
    parts: readonly PartRow[],
    private readonly queue: Queue,
  ) {
    this.parts = [...parts];
    this.gone = parts.map(({ url }, number) => (url ? this.sizeOf(number) : 0));
  }

  /** Those that are missing. None is: the last, for whoever brings that has them joined. */
  parcels(): Parcel[] {
    const all = this.parts.map(({ url }, number) => ({
      id: `${this.file.id}_${number}`,
      file: this.file,
      start: this.startOf(number),
      size: this.sizeOf(number),
      parted: this,
      number,
      url,
    }));
    const missing = all.filter(({ url }) => !url);
    return missing.length > 0 ? missing : all.slice(-1);
  }

  /** The gateway has so much of one. @returns how much it has of the whole file */
  at(number: number, offset: number): number {
    this.gone[number] = offset;
    return this.gone.reduce((sum, bytes) => sum + bytes);
  }

  /** One is whole: that is written down before the next is begun, for it isn't to be sent again. */
  async arrived({ number, url }: Parcel): Promise<void> {
    this.parts.splice(number, 1, { end: this.startOf(number) + this.sizeOf(number), url });
    await this.write(this.parts);
  }

  /** None is missing. */
  get complete(): boolean {
    return this.parts.every(({ url }) => url);
  }

  /** Where all are, in order, for the first who comes when none is missing: one alone has them joined. */
  toJoin(): string[] | null {
    if (this.joined || !this.complete) return null;
    this.joined = true;
    return this.parts.flatMap(({ url }) => url ?? []);
  }

  /** The gateway may lack any of them: each is asked for. */
  async doubt(): Promise<void> {
    this.parts.splice(0, this.parts.length, ...this.parts.map(({ end }) => ({ end, url: null })));
    await this.write(this.parts);
  }

  /** The gateway has the file otherwise: it goes whole. */
  async giveUp(): Promise<void> {
    await this.write([]);
  }

  private startOf(number: number): number {
    return this.parts[number - 1]?.end ?? 0;
  }

  private sizeOf(number: number): number {
    return (this.parts[number]?.end ?? 0) - this.startOf(number);
  }

  private async write(parts: readonly PartRow[]): Promise<void> {
    const offset = parts.reduce((sum, { url }, number) => sum + (url ? this.sizeOf(number) : 0), 0);
    await this.queue.changeFiles([this.file.id], { parts, offset });
  }
}

/**
 * A file as what goes of it. How it is parted is written down before a byte of it goes.
 * @param ends where its parts are to end, if it isn't begun
 */
export async function parcelsOf(file: FileRow, ends: readonly number[], queue: Queue): Promise<Parcel[]> {
  const parts = file.parts ?? (file.url ? [] : ends.map((end) => ({ end, url: null })));
  if (parts.length < 2) return [wholeOf(file)];
  if (!file.parts) await queue.changeFiles([file.id], { parts });
  return new Parted(file, parts, queue).parcels();
}
