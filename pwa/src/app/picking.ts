/** From picked files to the queue: what the ingest Worker found, and what a person decided about it. */
import { batch, computed, signal } from "@preact/signals";
import type { Picked } from "../ingest/look";
import type { FromIngest, Order, ToIngest } from "../ingest/messages";
import { needsItsPage } from "../upload/rules";
import { askToStay } from "./device";
import { endReview, filesAreHere, rememberSender, startReview } from "./draft";
import { beforeGoing } from "./going";
import { spendGrant } from "./grants";
import { connectEngine, isNotFetched, nudge } from "./outbox";
import { beforeRemoval } from "./removal";
import { go, goHome, mine, route } from "./state";

export const looking = signal<{ done: number; of: number } | null>(null);
export const copied = signal<ReadonlyMap<string, number>>(new Map());
/** Studies that found no room: this page still holds their files. */
export const held = signal<ReadonlySet<string>>(new Set());
/** `none`: no DICOM among the files. `nothing`: no file at all. */
export const pickProblem = signal<
  { why: "none"; left: number } | { why: "nothing" | "quota" | "part" | "failed_here" } | null
>(null);

/** A reload would lose something: a pick that is looked at or reviewed, files that are being copied or sent from here. */
export const needsThisPage = computed(
  () =>
    looking.value !== null ||
    (filesAreHere.value && route.value.at === "review") ||
    held.value.size > 0 ||
    mine.value.some(({ row }) => needsItsPage(row)),
);

/** Handles of files cost a little each to hand over: some at a time, and the screen stays free. */
const HANDED_AT_ONCE = 50;

let ingest: Worker | null = null;
let watched = false;

/** Begun when it is needed: its code and its memory are no business of somebody who looks at a receipt. */
function worker(): Worker {
  if (ingest) return ingest;
  ingest = new Worker(new URL("../ingest/worker.ts", import.meta.url), { type: "module", name: "ingest" });
  ingest.addEventListener("message", (event: MessageEvent<FromIngest>) => heard(event.data));
  ingest.addEventListener("error", (event) => {
    if (!isNotFetched(event)) return;
    ingest = null; // the next choice of files begins another one
    heard({ kind: "failed", code: "part" });
  });
  watch();
  const { port1, port2 } = new MessageChannel();
  tell({ kind: "port", port: port1 }, [port1]);
  connectEngine(port2);
  return ingest;
}

/** Once for all that are begun one after the other. */
function watch(): void {
  if (watched) return;
  watched = true;
  beforeRemoval(() => ingest?.terminate());
  beforeGoing(() => ingest?.postMessage({ kind: "going" } satisfies ToIngest));
}

function tell(order: ToIngest, transfer: Transferable[] = []): void {
  worker().postMessage(order, transfer);
}

/** The last choice of files: whoever chooses again, or stops, hands over no more of the one before. */
let turn = 0;

/** @returns false: another choice came between */
async function hand(files: readonly Picked[]): Promise<boolean> {
  stopLooking();
  looking.value = { done: 0, of: files.length };
  const own = turn;
  for (let at = 0; at < files.length; at += HANDED_AT_ONCE) {
    tell({ kind: "picked", files: files.slice(at, at + HANDED_AT_ONCE) });
    await new Promise((done) => setTimeout(done));
    if (turn !== own) return false;
  }
  return true;
}

/** @param files none: a share or a folder with nothing in it, which is said */
export async function add(files: readonly Picked[]): Promise<void> {
  pickProblem.value = files.length === 0 ? { why: "nothing" } : null;
  if (files.length > 0 && (await hand(files))) tell({ kind: "scan" });
}

/** Nobody wants to know any more what is in the files; what was in the review before is there still. */
export function stopLooking(): void {
  turn += 1;
  tell({ kind: "stop" });
  looking.value = null;
}

/** The missing files of a study, picked once more. */
export async function addAgain(study: string, files: readonly Picked[]): Promise<void> {
  if (files.length > 0 && (await hand(files))) tell({ kind: "again", study });
}

/** Resolved when all of it is in the queue. @throws when nothing of it is: the pick is still here */
export async function send(orders: Order[]): Promise<void> {
  void askToStay();
  pickProblem.value = null;
  const store = async (): Promise<boolean> => {
    const stored = new Promise<boolean>((done) => {
      told = done;
    });
    tell({ kind: "store", orders });
    if (!(await stored)) return false;
    await rememberSender();
    await endReview();
    return true;
  };
  const code = orders.find((order) => order.qr)?.qr;
  if (!(await (code ? spendGrant(code, store) : store()))) return;
  // The list is on the screen from when the review has ended: whoever has opened something there stays with it.
  if (route.value.at === "review") goHome();
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
      looking.value = null;
      if (news.patients.length > 0) void startReview(news).then(() => go({ at: "review" }));
      else pickProblem.value = { why: "none", left: news.left.length };
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
        pickProblem.value = { why: news.code };
      });
      break;
  }
}
