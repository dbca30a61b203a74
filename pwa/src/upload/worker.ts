/** The engine's host while a page is open. */
import { Queue } from "../queue/db";
import { Channel } from "./channel";
import { Engine } from "./engine";

const scope = self as unknown as DedicatedWorkerGlobalScope;

async function main(): Promise<void> {
  const queue = await Queue.open(() => scope.close());
  const engine = new Engine(queue, new Channel());
  scope.addEventListener("message", () => engine.nudge());
  scope.addEventListener("online", () => engine.nudge());
  // Another tab's engine, or the service worker's, may hold it: then this one stands by.
  await navigator.locks.request("engine", () => engine.run(new AbortController().signal));
}

void main();
