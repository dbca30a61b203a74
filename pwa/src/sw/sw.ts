/**
 * The offline shell, and the engine's host when no page is open. Nothing but the app's own files is ever cached.
 * A browser gives a sync event a few minutes: the slice ends by itself before it is cut.
 */
import { Queue } from "../queue/db";
import { SealedSegments } from "../upload/bytes";
import { Channel } from "../upload/channel";
import { Engine } from "../upload/engine";
import { nextDue, onDevice, toFollow } from "../upload/rules";

const scope = self as unknown as ServiceWorkerGlobalScope;
const shell = JSON.parse("__SHELL__") as { version: string; files: string[] };
const CACHE = `shell-${shell.version}`;
const SLICE_MS = 150_000;
const YIELD_MS = 2_000;

scope.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(shell.files.map((file) => new Request(file, { cache: "reload" })))));
});

scope.addEventListener("activate", (event) => {
  const sweep = async (): Promise<void> => {
    for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
  };
  event.waitUntil(sweep());
});

scope.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== scope.location.origin) return;
  if (shell.files.includes(url.pathname)) event.respondWith(fromShell(event.request, url.pathname));
});

/** As it was installed, so that page and workers are of one build; the line is asked only for what is missing. */
async function fromShell(request: Request, path: string): Promise<Response> {
  return (await caches.match(path, { cacheName: CACHE })) ?? fetch(request);
}

scope.addEventListener("message", (event) => {
  if (event.data === "take over") void scope.skipWaiting();
});

interface SyncEvent extends ExtendableEvent {
  readonly tag: string;
}

scope.addEventListener("sync", (event) => {
  if ((event as SyncEvent).tag === "queue") (event as SyncEvent).waitUntil(slice());
});

/**
 * A page's own worker holds the lock while it lives; this one waits for it, so that it is there when the last tab goes.
 * What is left at the end of a slice is told by throwing: the browser tries again later.
 */
async function slice(): Promise<void> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), SLICE_MS);
  try {
    await navigator.locks.request("engine", { signal: stop.signal }, () => alone(stop));
  } finally {
    clearTimeout(timer);
  }
}

async function alone(stop: AbortController): Promise<void> {
  const queue = await Queue.open();
  const channel = new Channel();
  const yielding = setInterval(() => {
    void scope.clients.matchAll({ includeUncontrolled: true }).then((pages) => pages.length > 0 && stop.abort());
  }, YIELD_MS);
  try {
    await new Engine(queue, channel, { studies: onDevice, bytes: new SealedSegments(queue) }).run(stop.signal, true);
  } finally {
    clearInterval(yielding);
    channel.close();
  }
  const rows = onDevice(await queue.studies());
  if (nextDue(rows) !== Infinity || toFollow(rows).length > 0) throw new Error("there is more to send");
}
