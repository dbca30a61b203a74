/** What the screens show, as signals; all of it comes from the queue, the gateway or the person. */
import { batch, computed, signal } from "@preact/signals";
import { type Link, readLink } from "../qr/link";
import { Queue } from "../queue/db";
import type { Metadata, Receipt, StudyRow, Told } from "../queue/rows";
import { json, Refused } from "../upload/api";
import { Channel, type News } from "../upload/channel";
import { isSending } from "../upload/rules";
import { asAccount, type Session, storedSession } from "../upload/session";
import { isWipe, wipeAccount } from "../upload/wipe";
import { watchForItsPage } from "./abandoned";
import { seeWiped, startDevice } from "./device";
import { startInstall } from "./install";
import { followLock, startLock } from "./lock";
import { beforeRemoval, leave, removed } from "./removal";
import { stayAwakeWhile } from "./wake";

export type Route =
  | { at: "home" }
  | { at: "review" }
  | { at: "study"; id: string }
  | { at: "codes" }
  | { at: "incoming"; id?: string }
  | { at: "pacs" }
  | { at: "settings" }
  | { at: "signin" };

export interface Endpoint {
  endpoint_id: string;
  display_name: string;
  contact: string;
  default?: boolean;
  notice: string;
  /** Clinical notes get into the study. */
  takes_notes?: boolean;
  limits: { max_files: number; max_upload_size: number };
}

/** A QR code that was opened and not used yet. */
export interface Grant extends Link {
  subject: string;
  display_name: string;
  contact: string;
  notice: string;
  takes_notes?: boolean;
}

export interface Shown {
  row: StudyRow;
  meta: Metadata;
  receipt: Receipt | null;
  told: Told | null;
  /** For the radiologist; empty: none. */
  notes: string;
}

export const route = signal<Route>({ at: "home" });
export const session = signal<Session | null>(null);
export const endpoints = signal<Endpoint[]>([]);
export const grant = signal<Grant | null>(null);
export const grantProblem = signal<
  { why: "dead" | "bad" | "offline" | "busy" } | { why: "foreign"; server: string } | null
>(null);
export const shown = signal<ReadonlyMap<string, Shown>>(new Map());
export const progress = signal<ReadonlyMap<string, { bytes: number; rate: number | null }>>(new Map());
export const online = signal(true);

/** Newest first; only the person's own, and what came by codes. */
export const mine = computed(() =>
  [...shown.value.values()]
    .filter(({ row }) => row.subject.startsWith("qr:") || row.subject === session.value?.subject)
    .sort((a, b) => b.row.created_at - a.row.created_at),
);
export const others = computed(() => shown.value.size - mine.value.length);

const ARM_EVERY_MS = 30_000;

let queue: Queue;
let engine: Worker;
let armed_at = 0;
export const channel = new Channel();
export const theQueue = (): Queue => queue;

export function go(to: Route): void {
  if (to.at !== route.value.at || "id" in to) history.pushState(to, "");
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
    route.value = (event.state as Route | null) ?? { at: "home" };
  });
  window.addEventListener("hashchange", () => {
    const late = location.hash;
    if (!late) return;
    history.replaceState(null, "", location.pathname);
    void openLink(late);
  });
  queue = await Queue.open((why) => (why === "newer" ? location.reload() : leave()));
  session.value = await storedSession(queue);
  grant.value = await queue.recall<Grant>("grant");
  channel.listen((news) => removed.value || hear(news));
  window.addEventListener("own-change", (event) => void load((event as CustomEvent<string>).detail));
  await startDevice(queue);
  await startInstall(queue);
  await startLock(queue, channel);
  await Promise.all((await queue.studies()).map((row) => load(row.id)));
  engine = new Worker(new URL("../upload/worker.ts", import.meta.url), { type: "module", name: "upload" });
  beforeRemoval(() => engine.terminate());
  stayAwakeWhile(computed(() => online.value && mine.value.some(({ row }) => isSending(row))));
  if (fragment.startsWith("#qr=")) await openLink(fragment);
  void loadEndpoints();
  for (const name of ["online", "pageshow", "visibilitychange"]) window.addEventListener(name, nudge);
  document.addEventListener("visibilitychange", nudge);
}

function hear(news: News): void {
  switch (news.kind) {
    case "changed":
      return void load(news.study);
    case "line":
      online.value = news.online;
      return;
    case "progress":
      if (Date.now() - armed_at > ARM_EVERY_MS) void armSync();
      progress.value = new Map(progress.value).set(news.study, { bytes: news.bytes, rate: news.rate });
      return;
    case "locked":
      return void followLock(news.locked);
    case "wiped":
      return void heardWiped();
    case "removed":
      queue.close();
      leave();
  }
}

/** The gateway's word to delete reached one of the workers, or this page. */
async function heardWiped(): Promise<void> {
  session.value = await storedSession(queue);
  await seeWiped();
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

/** The Worker that sends reads picked files from the one that holds them. */
export function connectEngine(port: MessagePort): void {
  engine.postMessage(port, [port]);
}

async function load(id: string): Promise<void> {
  const row = await queue.study(id);
  if (row) watchForItsPage(queue, row, reload);
  const fresh = row && (await unsealed(row));
  const next = new Map(shown.value); // others may have been loaded meanwhile
  if (fresh) next.set(id, fresh);
  else next.delete(id);
  shown.value = next;
}

/** It was changed here: other tabs are told, this one hears nothing of what it tells. */
async function reload(id: string): Promise<void> {
  channel.tell({ kind: "changed", study: id });
  await load(id);
}

async function unsealed(row: StudyRow): Promise<Shown> {
  const known = shown.value.get(row.id);
  const meta = known?.meta ?? (await queue.openFor<Metadata>(row.id, "metadata", row.metadata));
  const receipt = row.receipt
    ? (known?.receipt ?? (await queue.openFor<Receipt>(row.id, "receipt", row.receipt)))
    : null;
  const told = row.told ? await queue.openFor<Told>(row.id, "told", row.told) : null;
  const notes = row.clinical_notes ? await queue.openFor<string>(row.id, "clinical_notes", row.clinical_notes) : "";
  return { row, meta, receipt, told, notes };
}

export async function loadEndpoints(): Promise<void> {
  if (!session.value) return;
  try {
    endpoints.value = (
      await asAccount(queue, (bearer) => json<{ endpoints: Endpoint[] }>("/endpoints", { bearer }))
    ).endpoints;
  } catch (error) {
    if (isWipe(error)) {
      await wipeAccount(queue, channel, session.value.subject);
      await Promise.all([...shown.value.keys()].map(load)); // a channel doesn't speak to itself
      await heardWiped();
    } else if (error instanceof Refused && error.status === 401) session.value = null;
  }
}

export async function openLink(text: string): Promise<boolean> {
  const read = readLink(text, location.origin);
  if ("refused" in read) {
    grantProblem.value = read.refused === "foreign" ? { why: "foreign", server: read.server } : { why: "bad" };
    return false;
  }
  try {
    const told = await json<{
      display_name: string;
      contact: string;
      notice: string;
      expires_at: string;
      endpoint_id: string;
      takes_notes?: boolean;
    }>("/qr/inspect", {
      method: "POST",
      bearer: read.link.upload_token,
    });
    const { display_name, contact, notice, expires_at, endpoint_id, takes_notes = false } = told;
    const fresh = {
      ...read.link,
      endpoint_id,
      expires_at,
      display_name,
      contact,
      notice,
      takes_notes,
      subject: `qr:${crypto.randomUUID()}`,
    };
    await queue.remember("grant", fresh);
    batch(() => {
      grant.value = fresh;
      grantProblem.value = null;
      route.value = { at: "home" };
    });
    return true;
  } catch (error) {
    const status = error instanceof Refused ? error.status : 0;
    grantProblem.value = { why: status === 0 ? "offline" : status === 429 || status >= 500 ? "busy" : "dead" };
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
