/** What the app knows of its device: whether the browser keeps its stores, what the gateway asks of it, what it removed. */
import { signal } from "@preact/signals";
import type { Queue } from "../queue/db";
import { gatewayTime } from "../upload/clock";
import { askTerms, knownTerms, type Terms } from "../upload/terms";
import { WIPED, type Wiped } from "../upload/wipe";

const TICK_MS = 30_000;

export const terms = signal<Terms | null>(null);
/** The browser has promised not to clear the stores by itself; null: it can't be asked. */
export const stays = signal<boolean | null>(null);
export const wiped = signal<Wiped | null>(null);
/** The gateway's time as far as it is known; goes on by itself. */
export const time = signal(gatewayTime());

let queue: Queue;

export async function startDevice(theQueue: Queue): Promise<void> {
  queue = theQueue;
  terms.value = await knownTerms(queue);
  void navigator.storage?.persisted?.().then((yes) => (stays.value = yes));
  await seeWiped();
  setInterval(() => (time.value = gatewayTime()), TICK_MS);
  void askTerms(queue).then(
    (told) => {
      terms.value = told;
      time.value = gatewayTime();
    },
    () => undefined,
  ); // the last answer holds
}

/** Asked when there is something to keep: browsers ask the person, or judge by how the app is used. */
export async function askToStay(): Promise<void> {
  stays.value = (await navigator.storage?.persist?.().catch(() => false)) ?? null;
}

export async function seeWiped(): Promise<void> {
  wiped.value = await queue.recall<Wiped>(WIPED);
}

export async function forgetWiped(): Promise<void> {
  await queue.forget(WIPED);
  wiped.value = null;
}
