/** A question to the gateway that is asked until it is answered: now, after a while, and when the line may be back. */

const FIRST_WAIT_MS = 2_000;
const LONGEST_WAIT_MS = 60_000;

export class Asking {
  private timer = 0;
  private tries = 0;
  private running: Promise<void> | null = null;
  private answered = true;

  /** @param ask true: there is an answer; false: it has to be asked again */
  constructor(private readonly ask: () => Promise<boolean>) {}

  /** Ask. Whoever asks while it is being asked gets the same answer. */
  now(): Promise<void> {
    clearTimeout(this.timer);
    this.running ??= this.once().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  /** The line may be back: what is not answered is asked at once. */
  wake(): void {
    if (!this.answered) void this.now();
  }

  private async once(): Promise<void> {
    this.answered = await this.ask().catch(() => false);
    this.tries = this.answered ? 0 : this.tries + 1;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (this.tries - 1));
    if (!this.answered) this.timer = window.setTimeout(() => void this.now(), wait);
  }
}
