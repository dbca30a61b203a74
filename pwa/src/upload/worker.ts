/** The engine's host while a page is open. */
import { Queue } from "../queue/db";
import { holdStores } from "../queue/going";
import type { StudyRow } from "../queue/rows";
import { twice } from "../twice";
import { callBeside } from "./api";
import { PickedFiles, SealedSegments } from "./bytes";
import type { Carry } from "./carry";
import { Channel } from "./channel";
import { doubtConnections } from "./connections";
import { Engine } from "./engine";
import type { Lanes } from "./lanes";
import { onDevice, onPage } from "./rules";
import { Slots } from "./slots";
import { askByXhr } from "./small";
import { Traffic } from "./traffic";
import { isNear, watched } from "./watching";
import { byXhr } from "./xhr";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const queue = Queue.open(() => scope.close());
const engines: Engine[] = [];
const forEver = new AbortController().signal;

const way = (): { carry: Carry; lanes: Lanes; near: () => boolean } => ({
  carry: byXhr,
  lanes: new Traffic(),
  near: isNear,
});

function otherNetwork(): void {
  doubtConnections();
  wake();
}

function wake(): void {
  for (const engine of engines) engine.wake();
}

async function main(): Promise<void> {
  callBeside(askByXhr, watched);
  new Slots(navigator.locks);
  const open = await queue;
  const engine = new Engine(open, new Channel(), { ...way(), studies: onDevice, bytes: new SealedSegments(open) });
  engines.push(engine);
  // Another tab's engine, or the service worker's, may hold it: then this one stands by.
  await navigator.locks.request("engine", () => {
    void twice(() => import("./housekeeping")).then(
      ({ keepHouse }) => keepHouse(open, new Channel(), forEver),
      () => undefined, // the next page does it
    );
    return engine.run(forEver);
  });
}

/** Sends what only this page can: the files that its ingest Worker holds at the other end of the line. */
async function direct(port: MessagePort): Promise<void> {
  const open = await queue;
  const files = new PickedFiles(port, new SealedSegments(open), wake);
  const studies = (rows: readonly StudyRow[]): StudyRow[] => onPage(rows, files.studies);
  const engine = new Engine(open, new Channel(), { ...way(), studies, bytes: files });
  engines.push(engine);
  await engine.run(forEver);
}

scope.addEventListener("online", otherNetwork);
// On phones that tell: from Wi-Fi to mobile data. Its guesses of the rate change all the time.
const { connection } = navigator as { connection?: EventTarget & { type?: string } };
let kind = connection?.type;
connection?.addEventListener("change", () => {
  if (connection.type === kind) return;
  kind = connection.type;
  otherNetwork();
});
scope.addEventListener("message", (event: MessageEvent<"nudge" | "going" | MessagePort>) => {
  if (event.data instanceof MessagePort) void direct(event.data);
  else if (event.data === "going") holdStores();
  else wake();
});
void main();
