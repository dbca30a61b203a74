/** How many files are on their way at once, from one moment to the next: learnt from the bytes that leave. */
import { MOST_HELD } from "./connections";
import type { Lanes } from "./lanes";
import { Width } from "./width";

const LEAST_AT_ONCE = 2;
const SAMPLED_EVERY_MS = 250;
const BUSY = new Set([429, 503]);

/** Of one engine: what was right for a study is where the next one begins. */
export class Traffic implements Lanes {
  private readonly width = new Width(LEAST_AT_ONCE, MOST_HELD, MOST_HELD);
  private bytes = 0;
  private busyAnswers = 0;

  get atOnce(): number {
    return this.width.count;
  }

  moved(bytes: number): void {
    this.bytes += bytes;
  }

  refused(status: number): void {
    if (BUSY.has(status)) this.busyAnswers += 1;
  }

  watch(busy: () => number, then: () => void): () => void {
    const timer = setInterval(() => {
      this.width.sampled(performance.now() / 1000, this.bytes, busy(), this.busyAnswers);
      then();
    }, SAMPLED_EVERY_MS);
    return () => clearInterval(timer);
  }
}
