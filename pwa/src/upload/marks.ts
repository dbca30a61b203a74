/** Files that were sent are written down in company: a transaction for each costs as much as sending a small one. */
import type { Queue } from "../queue/db";

/** So many at most are sent and not written down. */
export const MOST_UNWRITTEN = 8;
const TOGETHER = 4;
/** Alone, it waits no longer for others. */
const PATIENCE_MS = 100;

export class Marks {
  private waiting: string[] = [];
  private unwritten = 0;
  private writing: Promise<void> = Promise.resolve();
  /** Who may not send on before something is written. */
  private readonly held: (() => void)[] = [];
  private timer = 0;
  private error: unknown = null;

  /** @param written told of each that is written down */
  constructor(
    private readonly queue: Queue,
    private readonly written: (file: string) => void,
  ) {}

  /** Resolves when another one may be sent. @throws what broke the writing of earlier ones */
  async sent(file: string): Promise<void> {
    this.waiting.push(file);
    this.unwritten += 1;
    if (this.waiting.length >= TOGETHER) this.flush();
    else if (this.waiting.length === 1) this.timer = self.setTimeout(() => this.flush(), PATIENCE_MS);
    while (this.unwritten >= MOST_UNWRITTEN && !this.error) await new Promise<void>((go) => this.held.push(go));
    if (this.error) throw this.error;
  }

  /** All are written down. @throws what broke it */
  async end(): Promise<void> {
    this.flush();
    await this.writing;
    const { error } = this;
    this.error = null;
    if (error) throw error;
  }

  private flush(): void {
    clearTimeout(this.timer);
    this.writing = this.writing.then(() => this.write());
  }

  private async write(): Promise<void> {
    const files = this.waiting;
    this.waiting = [];
    if (files.length === 0) return;
    try {
      await this.queue.markSent(files);
      for (const file of files) this.written(file);
    } catch (error) {
      this.error ??= error;
    } finally {
      this.unwritten -= files.length;
      for (const go of this.held.splice(0)) go();
    }
  }
}
