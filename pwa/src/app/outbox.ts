/** The Worker that sends, as the page knows it; and the service worker, which goes on without the page. */
import { beforeGoing } from "./going";
import { beforeRemoval, removed } from "./removal";

const ARM_EVERY_MS = 30_000;
const BEGIN_AGAIN_MS = 2_000;

let engine: Worker;
let armed_at = 0;

export function startOutbox(): void {
  beginEngine();
  beforeRemoval(() => engine.terminate());
  beforeGoing(() => engine.postMessage("going"));
}

function beginEngine(): void {
  engine = new Worker(new URL("../upload/worker.ts", import.meta.url), { type: "module", name: "upload" });
  engine.addEventListener("error", (event) => {
    if (!isNotFetched(event)) return;
    setTimeout(() => removed.value || beginEngine(), BEGIN_AGAIN_MS);
  });
}

/** Whether a worker never began: its script didn't come. What a running one throws is told as an `ErrorEvent`. */
export function isNotFetched(event: Event): boolean {
  return !(event instanceof ErrorEvent);
}

export function nudge(): void {
  if (removed.value) return;
  engine.postMessage("nudge");
  void armSync();
}

/**
 * The service worker goes on when the last tab is closed, where the browser can. It waits for that a few minutes at a time:
 * asked again now and then while something is sent, it always waits.
 */
export async function armSync(): Promise<void> {
  armed_at = Date.now();
  const registration = await navigator.serviceWorker?.getRegistration();
  const sync = (registration as unknown as { sync?: { register(tag: string): Promise<void> } } | undefined)?.sync;
  await sync?.register("queue").catch(() => undefined);
}

/** Something is being sent. */
export function keepArmed(): void {
  // A clock that was put back is behind the last time for as long.
  if (Math.abs(Date.now() - armed_at) > ARM_EVERY_MS) void armSync();
}

/** The Worker that sends reads picked files from the one that holds them. */
export function connectEngine(port: MessagePort): void {
  engine.postMessage(port, [port]);
}
