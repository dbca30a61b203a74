/** What the screens show, as signals; all of it comes from the queue, the gateway or the person. */
import { batch, computed, signal } from "@preact/signals";
import type { Left, Patient } from "../ingest/group";
import type { FromIngest, Order, Picked, ToIngest } from "../ingest/worker";
import { Queue } from "../queue/db";
import { READING, type Metadata, type Receipt, type StudyRow } from "../queue/rows";
import { readLink, type Link } from "../qr/link";
import { json, Refused } from "../upload/api";
import { Channel } from "../upload/channel";
import { accessToken, session as storedSession, type Session } from "../upload/session";

export type Route = { at: "home" } | { at: "review" } | { at: "study"; id: string } | { at: "makeqr" } | { at: "settings" } | { at: "signin" };

export interface Endpoint {
  endpoint_id: string;
  display_name: string;
  contact: string;
  default?: boolean;
  notice: string;
  limits: { max_files: number; max_upload_size: number };
}

/** A QR code that was opened and not used yet. */
export interface Grant extends Link {
  subject: string;
  display_name: string;
  contact: string;
  notice: string;
}

export interface Shown {
  row: StudyRow;
  meta: Metadata;
  receipt: Receipt | null;
}

export interface Scan {
  patients: Patient[];
  left: Left[];
}

export const route = signal<Route>({ at: "home" });
export const session = signal<Session | null>(null);
export const endpoints = signal<Endpoint[]>([]);
export const grant = signal<Grant | null>(null);
export const grantProblem = signal<"dead" | "bad" | "foreign" | "offline" | null>(null);
export const shown = signal<ReadonlyMap<string, Shown>>(new Map());
export const progress = signal<ReadonlyMap<string, { bytes: number; rate: number | null }>>(new Map());
export const copied = signal<ReadonlyMap<string, number>>(new Map());
export const online = signal(true);
export const looking = signal<{ done: number; of: number } | null>(null);
export const scanned = signal<Scan | null>(null);
export const ingestProblem = signal<"quota" | "failed_here" | null>(null);
export const ready = signal(false);

/** Newest first; only the person's own, and what came by codes. */
export const mine = computed(() =>
  [...shown.value.values()]
    .filter(({ row }) => row.subject.startsWith("qr:") || row.subject === session.value?.subject)
    .sort((a, b) => b.row.created_at - a.row.created_at),
);
export const others = computed(() => shown.value.size - mine.value.length);

let queue: Queue;
let engine: Worker;
let ingest: Worker;
export const channel = new Channel();
export const theQueue = (): Queue => queue;

export function go(to: Route): void {
  if (to.at !== route.value.at || to.at === "study") history.pushState(to, "");
  route.value = to;
  window.scrollTo(0, 0);
}

export function back(): void {
  if (history.state) history.back();
  else route.value = { at: "home" };
}

export async function begin(): Promise<void> {
  const fragment = location.hash;
  // The token leaves the address bar, the history and every screenshot before anything else happens.
  if (fragment) history.replaceState(null, "", location.pathname);
  window.addEventListener("popstate", (event) => {
    const to = (event.state as Route | null) ?? { at: "home" };
    route.value = to.at === "review" && !scanned.value ? { at: "home" } : to;
  });
  window.addEventListener("hashchange", () => {
    const late = location.hash;
    if (!late) return;
    history.replaceState(null, "", location.pathname);
    void openLink(late);
  });
  queue = await Queue.open(() => location.reload());
  session.value = await storedSession(queue);
  grant.value = await queue.recall<Grant>("grant");
  channel.listen((news) => {
    if (news.kind === "changed") void load(news.study);
    else if (news.kind === "line") online.value = news.online;
    else progress.value = new Map(progress.value).set(news.study, { bytes: news.bytes, rate: news.rate });
  });
  window.addEventListener("own-change", (event) => void load((event as CustomEvent<string>).detail));
  // As soon as nobody reads: at once, or when another tab is through, or when the page before this one is gone.
  void navigator.locks.request(READING, mendInterrupted);
  await Promise.all((await queue.studies()).map((row) => load(row.id)));
  engine = new Worker(new URL("../upload/worker.ts", import.meta.url), { type: "module", name: "upload" });
  ingest = new Worker(new URL("../ingest/worker.ts", import.meta.url), { type: "module", name: "ingest" });
  ingest.addEventListener("message", (event: MessageEvent<FromIngest>) => heard(event.data));
  if (fragment.startsWith("#qr=")) await openLink(fragment);
  ready.value = true;
  void loadEndpoints();
  for (const name of ["online", "pageshow", "visibilitychange"]) window.addEventListener(name, nudge);
  document.addEventListener("visibilitychange", nudge);
}

export function nudge(): void {
  engine.postMessage("nudge");
  void armSync();
}

/** The service worker goes on when the last tab is closed, where the browser can. */
export async function armSync(): Promise<void> {
  const registration = await navigator.serviceWorker?.getRegistration();
  const sync = (registration as unknown as { sync?: { register(tag: string): Promise<void> } } | undefined)?.sync;
  await sync?.register("queue").catch(() => undefined);
}

/** A study whose page went away while it was being copied waits for a person, and says so. */
async function mendInterrupted(): Promise<void> {
  for (const row of await queue.studies()) {
    if (row.status !== "reading") continue;
    const whole = (await queue.files(row.id)).every((file) => file.state !== "picked");
    await queue.change(row.id, () => (whole ? { status: "queued" } : { status: "stopped", problem: { code: "pick_again", at: Date.now() } }));
    channel.tell({ kind: "changed", study: row.id });
    await load(row.id);
  }
}

async function load(id: string): Promise<void> {
  const row = await queue.study(id);
  const fresh = row && (await unsealed(row));
  const next = new Map(shown.value); // others may have been loaded meanwhile
  if (fresh) next.set(id, fresh);
  else next.delete(id);
  shown.value = next;
}

async function unsealed(row: StudyRow): Promise<Shown> {
  const known = shown.value.get(row.id);
  const meta = known?.meta ?? (await queue.openFor<Metadata>(row.id, "metadata", row.metadata));
  const receipt = row.receipt ? (known?.receipt ?? (await queue.openFor<Receipt>(row.id, "receipt", row.receipt))) : null;
  return { row, meta, receipt };
}

export async function loadEndpoints(): Promise<void> {
  if (!session.value) return;
  try {
    endpoints.value = (await json<{ endpoints: Endpoint[] }>("/endpoints", { bearer: await accessToken(queue) })).endpoints;
  } catch (error) {
    if (error instanceof Refused && error.status === 401) session.value = null;
  }
}

export async function openLink(text: string): Promise<boolean> {
  const read = readLink(text, location.origin);
  if ("refused" in read) {
    grantProblem.value = read.refused;
    return false;
  }
  try {
    const told = await json<{ display_name: string; contact: string; notice: string; expires_at: string; endpoint_id: string }>("/qr/inspect", {
      method: "POST",
      bearer: read.link.upload_token,
    });
    const { display_name, contact, notice, expires_at, endpoint_id } = told;
    const fresh = { ...read.link, endpoint_id, expires_at, display_name, contact, notice, subject: `qr:${crypto.randomUUID()}` };
    await queue.remember("grant", fresh);
    batch(() => {
      grant.value = fresh;
      grantProblem.value = null;
      route.value = { at: "home" };
    });
    return true;
  } catch (error) {
    grantProblem.value = error instanceof Refused && error.status === 0 ? "offline" : "dead";
    return false;
  }
}

export async function leaveGrant(): Promise<void> {
  await queue.forget("grant");
  batch(() => {
    grant.value = null;
    grantProblem.value = null;
  });
}

// Picking and sending

/** The study whose missing files are being picked again. */
let again: string | null = null;

export function pickAgain(id: string | null): void {
  again = id;
}

export function add(files: Picked[]): void {
  if (files.length === 0) return;
  ingestProblem.value = null;
  if (again) {
    const study = again;
    again = null;
    void queue.change(study, () => ({ status: "reading", problem: null })).then(() => tell({ kind: "again", study, files }));
    return;
  }
  scanned.value = null;
  looking.value = { done: 0, of: files.length };
  tell({ kind: "scan", files });
}

export async function send(orders: Order[]): Promise<void> {
  void navigator.storage?.persist?.().catch(() => false);
  tell({ kind: "store", orders });
  if (orders.some((order) => order.qr)) await leaveGrant();
  scanned.value = null;
  route.value = { at: "home" };
  history.replaceState(null, "");
}

function tell(order: ToIngest): void {
  ingest.postMessage(order);
}

function heard(news: FromIngest): void {
  switch (news.kind) {
    case "looked":
      looking.value = { done: news.done, of: news.of };
      break;
    case "scanned":
      batch(() => {
        looking.value = null;
        scanned.value = news;
        if (news.patients.length > 0) go({ at: "review" });
      });
      break;
    case "queued":
      nudge();
      break;
    case "copied":
      copied.value = new Map(copied.value).set(news.study, news.done);
      break;
    case "failed":
      batch(() => {
        looking.value = null;
        ingestProblem.value = news.code;
      });
      break;
    case "matched":
      break;
  }
}
