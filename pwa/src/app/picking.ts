/** From picked files to the queue: what the ingest Worker found, and what a person decided about it. */
import { batch, computed, signal } from "@preact/signals";
import type { Doubt } from "../ingest/doubts";
import type { Left, Patient } from "../ingest/group";
import type { Picked } from "../ingest/look";
import type { FromIngest, Order, ToIngest } from "../ingest/messages";
import { needsItsPage } from "../upload/rules";
import { askToStay } from "./device";
import { leaveGrant } from "./grants";
import { connectEngine, nudge } from "./outbox";
import { beforeRemoval } from "./removal";
import { go, mine, route } from "./state";

export interface Scan {
  patients: Patient[];
  left: Left[];
  doubts: Doubt[];
}

export const looking = signal<{ done: number; of: number } | null>(null);
export const scanned = signal<Scan | null>(null);
export const copied = signal<ReadonlyMap<string, number>>(new Map());
/** Studies that found no room: this page still holds their files. */
export const held = signal<ReadonlySet<string>>(new Set());
export const pickProblem = signal<"nothing" | "quota" | "failed_here" | null>(null);

/** A reload would lose something: a pick that is looked at or reviewed, files that are being copied or sent from here. */
export const needsThisPage = computed(
  () =>
    looking.value !== null ||
    (scanned.value !== null && route.value.at === "review") ||
    held.value.size > 0 ||
    mine.value.some(({ row }) => needsItsPage(row)),
);

/** Handles of files cost a little each to hand over: some at a time, and the screen stays free. */
const HANDED_AT_ONCE = 50;

let ingest: Worker | null = null;

/** Begun when it is needed: its code and its memory are no business of somebody who looks at a receipt. */
function worker(): Worker {
  if (ingest) return ingest;
  ingest = new Worker(new URL("../ingest/worker.ts", import.meta.url), { type: "module", name: "ingest" });
  ingest.addEventListener("message", (event: MessageEvent<FromIngest>) => heard(event.data));
  beforeRemoval(() => ingest?.terminate());
  const { port1, port2 } = new MessageChannel();
  tell({ kind: "port", port: port1 }, [port1]);
  connectEngine(port2);
  return ingest;
}

function tell(order: ToIngest, transfer: Transferable[] = []): void {
  worker().postMessage(order, transfer);
}

async function hand(files: readonly Picked[]): Promise<void> {
  for (let at = 0; at < files.length; at += HANDED_AT_ONCE) {
    tell({ kind: "picked", files: files.slice(at, at + HANDED_AT_ONCE) });
    await new Promise((done) => setTimeout(done));
  }
}

/** @param files none: a share or a folder with nothing in it, which is said */
export async function add(files: readonly Picked[]): Promise<void> {
  batch(() => {
    scanned.value = null;
    pickProblem.value = files.length === 0 ? "nothing" : null;
    looking.value = files.length === 0 ? null : { done: 0, of: files.length };
  });
  if (files.length === 0) return;
  await hand(files);
  tell({ kind: "scan" });
}

/** The missing files of a study, picked once more. */
export async function addAgain(study: string, files: readonly Picked[]): Promise<void> {
  if (files.length === 0) return;
  looking.value = { done: 0, of: files.length };
  await hand(files);
  tell({ kind: "again", study });
}

/** Resolved when all of it is in the queue. @throws when nothing of it is: the pick is still here */
export async function send(orders: Order[]): Promise<void> {
  void askToStay();
  pickProblem.value = null;
  const stored = new Promise<boolean>((done) => (told = done));
  tell({ kind: "store", orders });
  if (!(await stored)) return;
  if (orders.some((order) => order.qr)) await leaveGrant();
  scanned.value = null;
  route.value = { at: "home" };
  history.replaceState(null, "");
}

let told: (stored: boolean) => void = () => undefined;

/** Studies that have no room on the device go from the files that this page holds. */
export function sendDirect(studies: readonly string[]): void {
  tell({ kind: "direct", studies: [...studies] });
  held.value = new Set([...held.value].filter((id) => !studies.includes(id)));
  nudge();
}

function heard(news: FromIngest): void {
  switch (news.kind) {
    case "looked":
      if (looking.value) looking.value = { done: news.done, of: news.of };
      break;
    case "scanned":
      batch(() => {
        looking.value = null;
        scanned.value = news;
        if (news.patients.length > 0) go({ at: "review" });
      });
      break;
    case "matched":
      looking.value = null;
      nudge();
      break;
    case "queued":
      told(true);
      nudge();
      break;
    case "copied":
      copied.value = new Map(copied.value).set(news.study, news.done);
      break;
    case "held":
      held.value = new Set([...held.value, ...news.studies]);
      break;
    case "failed":
      told(false);
      batch(() => {
        looking.value = null;
        pickProblem.value = news.code;
      });
      break;
  }
}
