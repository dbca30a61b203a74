/** Bytes that were picked, wherever they lie: a file on the disk, or an entry of a ZIP. */
export interface Source {
  /** As it is shown to a person; a path to nothing. */
  readonly name: string;
  readonly size: number;
  /** Its first bytes. @throws when it can't be read */
  head(bytes: number): Promise<Uint8Array>;
  /**
   * All of it from `start` on, in pieces of `bytes`; only the last is shorter. Never more of it in memory than a piece.
   * @throws when it can't be read any more, or isn't as long as it said
   */
  pieces(bytes: number, start?: number): AsyncGenerator<ArrayBuffer, void, undefined>;
}

export class FileSource implements Source {
  constructor(
    private readonly file: File,
    readonly name: string,
  ) {}

  get size(): number {
    return this.file.size;
  }

  async head(bytes: number): Promise<Uint8Array> {
    return new Uint8Array(await this.file.slice(0, bytes).arrayBuffer());
  }

  async *pieces(bytes: number, start = 0): AsyncGenerator<ArrayBuffer, void, undefined> {
    for (let at = start; at < this.size; at += bytes) yield await this.file.slice(at, at + bytes).arrayBuffer();
  }
}

/**
 * Bytes from anywhere of a source, cheap where each reading goes on where the one before it ended. Readings have their turns:
 * parts of one file are asked for at the same time.
 */
export class Cursor {
  private turn: Promise<unknown> = Promise.resolve();
  private at = 0;
  private pieces: AsyncGenerator<ArrayBuffer, void, undefined> | null = null;
  private rest = new Uint8Array();

  constructor(
    private readonly source: Source,
    private readonly pieceBytes: number,
  ) {}

  read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.inTurn(() => this.readNow(start, end));
  }

  close(): Promise<void> {
    return this.inTurn(() => this.closeNow());
  }

  private inTurn<T>(act: () => Promise<T>): Promise<T> {
    const done = this.turn.then(act);
    this.turn = done.catch(() => undefined);
    return done;
  }

  private async readNow(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    if (!this.pieces || this.at !== start) {
      await this.closeNow();
      this.pieces = this.source.pieces(this.pieceBytes, start);
      this.at = start;
    }
    const out = new Uint8Array(end - start);
    let filled = 0;
    while (filled < out.length) {
      if (this.rest.length === 0) {
        const next = await this.pieces.next();
        if (next.done) throw new Error("shorter than it was");
        this.rest = new Uint8Array(next.value);
      }
      const some = this.rest.subarray(0, out.length - filled);
      out.set(some, filled);
      filled += some.length;
      this.rest = this.rest.subarray(some.length);
    }
    this.at = end;
    return out;
  }

  private async closeNow(): Promise<void> {
    const pieces = this.pieces;
    this.pieces = null;
    this.rest = new Uint8Array();
    await pieces?.return();
  }
}
