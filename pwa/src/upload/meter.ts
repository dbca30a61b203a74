/** Bytes that the gateway has of a study, told a few times a second. */
import type { FileRow } from "../queue/rows";
import type { Channel } from "./channel";
import { rate } from "./rules";

const TELL_EVERY_MS = 500;
const RATE_OVER_MS = 12_000;

export class Meter {
  private readonly offsets = new Map<string, number>();
  private sum = 0;
  private told = Number.NEGATIVE_INFINITY;
  private soon: ReturnType<typeof setTimeout> | undefined;
  private samples: { at: number; bytes: number }[] = [];

  constructor(
    private readonly channel: Channel,
    private readonly study: string,
  ) {}

  start(files: readonly FileRow[]): void {
    // What was acknowledged is written down a moment later: a new look at the rows takes nothing back.
    for (const file of files) {
      const written = file.state === "sent" ? file.size : file.offset;
      this.set(file.id, Math.max(written, this.offsets.get(file.id) ?? 0));
    }
    this.tell();
  }

  /** The last one is told too, a moment later. */
  at(file: string, offset: number): void {
    this.set(file, offset);
    const rest = this.told + TELL_EVERY_MS - performance.now();
    if (rest <= 0) this.tell();
    else this.soon ??= setTimeout(() => this.tell(), rest);
  }

  /** Nothing more is told. */
  end(): void {
    clearTimeout(this.soon);
  }

  private set(file: string, offset: number): void {
    this.sum += offset - (this.offsets.get(file) ?? 0);
    this.offsets.set(file, offset);
  }

  private tell(): void {
    clearTimeout(this.soon);
    this.soon = undefined;
    this.told = performance.now();
    this.samples = [
      ...this.samples.filter((one) => one.at > this.told - RATE_OVER_MS),
      { at: this.told, bytes: this.sum },
    ];
    this.channel.tell({ kind: "progress", study: this.study, bytes: this.sum, rate: rate(this.samples) });
  }
}
