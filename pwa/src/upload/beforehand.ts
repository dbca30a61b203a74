/**
 * What is asked for before it is known that it is time, so that it costs no round trip of its own. Too early, it comes to
 * nothing, and is asked for once more.
 */
export class Beforehand<T> {
  private told: Promise<T | null> | null = null;

  /** @param ask null: it was too early */
  constructor(private readonly ask: () => Promise<T | null>) {}

  /** It may be time soon. @param ms for what has to be at the gateway before it */
  begin(ms = 0): void {
    this.told ??= new Promise((done) => setTimeout(done, ms)).then(this.ask).catch(() => null);
  }

  /** It is time. @throws what the asking does */
  async now(): Promise<T | null> {
    const told = await this.told;
    this.told = null;
    return told ?? this.ask();
  }
}
