/** What is kept account of while the files of a study are on their way. */
import type { FileRow } from "../queue/rows";
import { Refused } from "./api";
import type { Parcel } from "./parcels";
import { isFinal } from "./rules";

/** What was taken of the bytes that the study has to send. */
export class Due {
  private readonly taken = new Set<string>();

  /** @param left bytes that aren't taken yet: of these files, and of those that can't be sent yet */
  constructor(
    files: readonly FileRow[],
    public left: number,
  ) {
    this.take(files);
  }

  /** @returns those that weren't */
  take(files: readonly FileRow[]): FileRow[] {
    const found = files.filter(({ id }) => !this.taken.has(id));
    for (const { id, size } of found) {
      this.taken.add(id);
      this.left -= size;
    }
    return found;
  }
}

/** What somebody may have sent who could not write it down any more. */
export class Uncertain {
  /** @param left so many of the first that go @param asked gets what the gateway is to be asked for */
  constructor(
    private left: number,
    private readonly asked: Set<string>,
  ) {}

  of(parcels: Parcel[]): Parcel[] {
    for (const { id } of parcels.slice(0, this.left)) this.asked.add(id);
    this.left = Math.max(0, this.left - parcels.length);
    return parcels;
  }
}

/** What went wrong. What ends the study ends all that is on its way. */
export class Troubles {
  private readonly all: unknown[] = [];
  private readonly over = new AbortController();
  readonly signal: AbortSignal;

  constructor(outer: AbortSignal) {
    this.signal = AbortSignal.any([outer, this.over.signal]);
  }

  get count(): number {
    return this.all.length;
  }

  /** @returns undefined: it went wrong */
  async of<T>(act: Promise<T>): Promise<T | undefined> {
    try {
      return await act;
    } catch (error) {
      this.all.push(error);
      if (!(error instanceof Refused) || endsStudy(error)) this.over.abort();
      return undefined;
    }
  }

  /** What ends the study before others. */
  throwWorst(): void {
    if (this.count > 0) throw this.all.find(endsStudy) ?? this.all[0];
  }
}

function endsStudy(error: unknown): boolean {
  return error instanceof Refused && isFinal(error.status, error.code);
}
