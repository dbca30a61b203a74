/** The engine's host while a page is open. */
import { Queue } from "../queue/db";
import { twice } from "../twice";
import { PickedFiles, SealedSegments } from "./bytes";
import { Channel } from "./channel";
import { Engine } from "./engine";
import { onDevice, onPage } from "./rules";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const queue = Queue.open(() => scope.close());
const engines: Engine[] = [];
const forEver = new AbortController().signal;

function nudge(): void {
  for (const engine of engines) engine.nudge();
}

async function main(): Promise<void> {
  const open = await queue;
  const engine = new Engine(open, new Channel(), { studies: onDevice, bytes: new SealedSegments(open) });
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
  const files = new PickedFiles(port, new SealedSegments(open), nudge);
  const engine = new Engine(open, new Channel(), { studies: (rows) => onPage(rows, files.studies), bytes: files });
  engines.push(engine);
  await engine.run(forEver);
}

scope.addEventListener("online", nudge);
scope.addEventListener("message", (event: MessageEvent<"nudge" | MessagePort>) => {
  if (event.data instanceof MessagePort) void direct(event.data);
  else nudge();
});
void main();
