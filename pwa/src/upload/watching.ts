/** Looks at the requests of a worker while there are any, and asks the gateway small questions while they are silent. */
import type { Watched } from "./carry";
import { type Held, LineWatch, type Question } from "./line";
import { at } from "./place";
import { askByXhr } from "./small";

const LOOK_EVERY_MS = 100;
/** What a portal's page doesn't say. */
const ALIVE = '"alive"';
/** Where each request has a connection of its own. Over HTTP/2 a question goes the way of the bodies, and says nothing. */
const OWN_CONNECTIONS = "http/1.1";

const watch = new LineWatch();
const giveUps = new Map<Held, () => void>();
const asking = new Map<Question, AbortController>();
let timer: ReturnType<typeof setInterval> | undefined;
let ownConnections = true;
let asked = 0;

/** Whether an answer comes in no time. */
export function isNear(): boolean {
  return watch.near;
}

/**
 * @param size bytes of the request's body
 * @param giveUp it doesn't go on by itself: over a new connection it does
 * @param slow its answer may take long
 */
export function watched(size: number, giveUp: () => void, slow = false): Watched {
  const one = watch.begin(performance.now(), size, slow);
  giveUps.set(one, giveUp);
  if (ownConnections) timer ??= setInterval(look, LOOK_EVERY_MS);
  return {
    get tells() {
      return ownConnections;
    },
    moved: (bytes) => watch.moved(performance.now(), one, bytes),
    answered: () => watch.answered(performance.now(), one),
    over: () => {
      watch.end(one);
      giveUps.delete(one);
    },
  };
}

function look(): void {
  if (watch.idle || !ownConnections) {
    clearInterval(timer);
    timer = undefined;
    return;
  }
  const { ask, drop, end } = watch.look(performance.now());
  for (const late of drop) asking.get(late)?.abort();
  for (let number = 0; number < ask; number += 1) void askNow();
  for (const one of end) giveUps.get(one)?.();
}

async function askNow(): Promise<void> {
  const question = watch.ask(performance.now());
  const late = new AbortController();
  asking.set(question, late);
  const heard = await answers(late.signal);
  asking.delete(question);
  if (heard) ownConnections = protocol() === OWN_CONNECTIONS;
  watch.told(performance.now(), question, heard);
}

/**
 * Whether the gateway itself does. Over the connections of the bodies: what is to be found out is whether those are dead. Each
 * question has an address of its own: of one address a browser asks once at a time, and the first one may hang.
 */
async function answers(signal: AbortSignal): Promise<boolean> {
  asked += 1;
  const question = { method: "GET", headers: new Headers(), body: null, signal };
  try {
    return (await (await askByXhr(`${at("/healthz")}?${asked}`, question)).text()).includes(ALIVE);
  } catch {
    return false;
  }
}

/** Of the last answer. */
function protocol(): string {
  const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  performance.clearResourceTimings(); // a browser keeps the first 250 only
  return entries.findLast(({ nextHopProtocol }) => nextHopProtocol)?.nextHopProtocol ?? OWN_CONNECTIONS;
}
