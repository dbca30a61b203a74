/** What the device's one engine does beside sending: copies whose time is over go, and words to delete are heard. */
import type { Queue } from "../queue/db";
import type { Channel } from "./channel";
import { expire } from "./expiry";
import { sleep } from "./follow";
import { askForTheQuiet } from "./wipe";

const EVERY_MS = 60_000;
const ASK_EVERY = 5;

export async function keepHouse(queue: Queue, channel: Channel, signal: AbortSignal): Promise<void> {
  for (let round = 0; !signal.aborted; round += 1) {
    if (round % ASK_EVERY === 0) await askForTheQuiet(queue, channel);
    await expire(queue, channel);
    await sleep(EVERY_MS, signal).catch(() => undefined);
  }
}
