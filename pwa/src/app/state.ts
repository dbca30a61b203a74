/** What the screens show, as signals; all of it comes from the queue, the gateway or the person. */
import { computed, signal } from "@preact/signals";
import type { Queue } from "../queue/db";
import type { Metadata, Receipt, StudyRow, Told } from "../queue/rows";
import { Channel } from "../upload/channel";
import type { Session } from "../upload/session";
import { watchForItsPage } from "./abandoned";

export type Route =
  | { at: "home" }
  | { at: "review" }
  | { at: "study"; id: string }
  | { at: "codes" }
  | { at: "incoming"; id?: string }
  | { at: "pacs" }
  | { at: "settings" }
  | { at: "signin" };

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

let queue: Queue;
export const channel = new Channel();
export const theQueue = (): Queue => queue;

export function keepQueue(opened: Queue): void {
  queue = opened;
}

export function go(to: Route): void {
  if (to.at !== route.value.at || "id" in to) history.pushState(to, "");
  route.value = to;
  window.scrollTo(0, 0);
}

/** In place of the screen that is left: nobody comes back to it. */
export function goHome(): void {
  history.replaceState(null, "");
  route.value = { at: "home" };
  window.scrollTo(0, 0);
}

export function back(): void {
  if (history.state) history.back();
  else route.value = { at: "home" };
}

/** A row as it is now in the queue. */
export async function load(id: string): Promise<void> {
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
