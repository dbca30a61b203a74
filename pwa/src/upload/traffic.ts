/** How many requests bring files at once, from one moment to the next: learnt from the bytes that leave. */
import { streamsOpen } from "./follow";
import { Width } from "./width";

/** A browser has so many connections for one gateway (HTTP/1.1). */
export const MOST_AT_ONCE = 6;
const LEAST_AT_ONCE = 2;
const FIRST_AT_ONCE = 5;
const SAMPLED_EVERY_MS = 250;
const BUSY = new Set([429, 503]);

/** Of one engine: what was right for a study is where the next one begins. */
export class Traffic {
  private readonly width = new Width(LEAST_AT_ONCE, MOST_AT_ONCE, FIRST_AT_ONCE);
  private bytes = 0;
  private refused = 0;

  /** An event stream takes a connection. */
  get atOnce(): number {
    return Math.min(this.width.count, MOST_AT_ONCE - streamsOpen());
  }

  /** So many bytes more have left. */
  moved(bytes: number): void {
    this.bytes += bytes;
  }

  /** A file was refused. @param status of the answer */
  answered(status: number): void {
    if (BUSY.has(status)) this.refused += 1;
  }

  /**
   * Learns while files are on their way.
   * @param busy how many are just now
   * @param then what to do after each look
   * @returns ends it
   */
  watch(busy: () => number, then: () => void): () => void {
    // A service worker isn't told what leaves: it stays with as many as it began with.
    const told = "XMLHttpRequest" in self;
    const timer = setInterval(() => {
      if (told) this.width.sampled(performance.now() / 1000, this.bytes, busy(), this.refused);
      then();
    }, SAMPLED_EVERY_MS);
    return () => clearInterval(timer);
  }
}
