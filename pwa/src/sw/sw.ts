/**
 * The offline shell, and the engine's host when no page is open. Nothing but the app's own files is ever cached.
 * A browser gives a sync event a few minutes: the slice ends by itself before it is cut.
 */
import { Queue } from "../queue/db";
import { SealedSegments } from "../upload/bytes";
import { byFetch } from "../upload/carry";
import { Channel } from "../upload/channel";
import { Engine } from "../upload/engine";
import { STEADY } from "../upload/lanes";
import { isSending, onDevice, toFollow } from "../upload/rules";

const scope = self as unknown as ServiceWorkerGlobalScope;
const built = JSON.parse("__SHELL__") as { version: string; files: string[] };
/** The list is relative to this script: the app may be below a path. */
const shell = { ...built, files: built.files.map((file) => new URL(file, scope.location.href).pathname) };
const CACHE = `shell-${shell.version}`;
/** How long one event may go on: Chromium ends it after three minutes. */
const EVENT_MS = 150_000;
/** How long it may send of that. The address of this script can ask for less, `/sw.js?slice_ms=3000`, and never for more. */
const SLICE_MS = Math.min(EVENT_MS, Number(new URL(scope.location.href).searchParams.get("slice_ms")) || EVENT_MS);
const YIELD_MS = 2_000;
const OVER = "the slice is over";
const PAGE = "a page is open";
const LET_GO = "a newer worker begins";

/** Events that send, or wait for their turn: a newer worker can't begin before they end. */
const running = new Set<AbortController>();

scope.addEventListener("install", (event) => {
  event.waitUntil(
    caches.open(CACHE).then((cache) => cache.addAll(shell.files.map((file) => new Request(file, { cache: "reload" })))),
  );
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
  if (event.data === "let go") for (const stop of running) stop.abort(LET_GO);
});

interface SyncEvent extends ExtendableEvent {
  readonly tag: string;
}

scope.addEventListener("sync", (event) => {
  if ((event as SyncEvent).tag === "queue") (event as SyncEvent).waitUntil(slice());
});

/**
 * A page's own worker holds the lock while it lives; this one waits for it, so that it is there when the last tab goes.
 * What is left at the end of a slice is told by throwing: the browser tries again later, but not for minutes. So where a
 * page is open the event ends well: that page asks for the next one (`armSync`), which then comes at once.
 */
async function slice(): Promise<void> {
  const stop = new AbortController();
  running.add(stop);
  let began = false;
  const ending = [setTimeout(() => stop.abort(OVER), EVENT_MS)];
  try {
    await navigator.locks.request("engine", { signal: stop.signal }, () => {
      ending.push(setTimeout(() => stop.abort(OVER), SLICE_MS));
      began = true;
      return alone(stop);
    });
  } catch (error) {
    if (began || stop.signal.reason !== OVER) throw error; // else a page sent all the while
  } finally {
    running.delete(stop);
    for (const timer of ending) clearTimeout(timer);
  }
}

async function alone(stop: AbortController): Promise<void> {
  const queue = await Queue.open();
  const channel = new Channel();
  const yielding = setInterval(() => {
    void scope.clients.matchAll({ includeUncontrolled: true }).then((pages) => pages.length > 0 && stop.abort(PAGE));
  }, YIELD_MS);
  const share = {
    studies: onDevice,
    bytes: new SealedSegments(queue),
    carry: byFetch,
    lanes: STEADY,
    near: () => false,
  };
  try {
    await new Engine(queue, channel, share).run(stop.signal, true);
  } finally {
    clearInterval(yielding);
    channel.close();
  }
  if (stop.signal.reason === PAGE) return;
  const rows = onDevice(await queue.studies());
  const left = rows.filter(isSending);
  // The next page that is opened says so; it goes on from where the gateway says.
  if (stop.signal.reason === OVER) for (const { id } of left) await queue.change(id, () => ({ slept_at: Date.now() }));
  if (left.length > 0 || toFollow(rows).length > 0) throw new Error("there is more to send");
}
