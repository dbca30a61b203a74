/**
 * Connections that the tabs of a device hold together (HTTP/1.1: a browser has six for a gateway, whatever the tabs). Each is
 * a Web Lock. Who asks for some that others have gets them when something of theirs ends, until all have about as many.
 */
import { allow, demand, inUse, MOST_HELD, whenDemanded } from "./connections";

const NAMES = Array.from({ length: MOST_HELD }, (_, number) => `connection:${number}`);
/** So often at most it is looked who else sends. */
const LOOK_EVERY_MS = 500;

/** Those of one worker. */
export class Slots {
  /** By name: what gives it back. */
  private readonly mine = new Map<string, () => void>();
  private asking: AbortController | null = null;
  /** For files; a stream has one more. */
  private share = MOST_HELD;
  private lookedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly locks: Pick<LockManager, "request" | "query">) {
    whenDemanded(() => this.settle());
    this.settle();
  }

  private settle(): void {
    const { files, stream } = demand();
    const due = Math.min(MOST_HELD, Math.min(files, this.share) + stream);
    for (const [name, giveBack] of this.mine) {
      if (this.mine.size <= Math.max(due, inUse())) break;
      this.mine.delete(name);
      giveBack();
    }
    if (this.mine.size < due) this.asking ??= this.ask();
    else this.stopAsking();
    if (due > 0 && performance.now() - this.lookedAt >= LOOK_EVERY_MS) void this.look();
    allow(Math.min(due, this.mine.size));
  }

  /** For any that this worker hasn't: the first that are free. */
  private ask(): AbortController {
    const asking = new AbortController();
    for (const name of NAMES.filter((one) => !this.mine.has(one)))
      this.locks.request(name, { signal: asking.signal }, () => this.got(name)).catch(() => undefined); // not asked for any more
    return asking;
  }

  private stopAsking(): void {
    this.asking?.abort();
    this.asking = null;
  }

  /** @returns until it is given back */
  private got(name: string): Promise<void> {
    return new Promise((giveBack) => {
      this.mine.set(name, giveBack);
      this.settle();
    });
  }

  /** How many workers there are for whom the connections have to do. */
  private async look(): Promise<void> {
    this.lookedAt = performance.now();
    const { held = [], pending = [] } = await this.locks.query();
    const workers = new Set<string | undefined>();
    for (const { name = "", clientId } of [...held, ...pending]) if (NAMES.includes(name)) workers.add(clientId);
    const share = Math.max(1, Math.floor(MOST_HELD / Math.max(1, workers.size)));
    if (share === this.share) return;
    this.share = share;
    this.settle();
  }
}
