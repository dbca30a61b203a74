/** Looks at picked files and takes them into the queue, off the screen's thread: the host of what is beside it. */
import { Queue } from "../queue/db";
import { isFull } from "../queue/full";
import { holdStores } from "../queue/going";
import type { FileRow } from "../queue/rows";
import { NotFetched } from "../twice";
import { Channel } from "../upload/channel";
import { copy, type Placed } from "./copy";
import { doubts } from "./doubts";
import { byPatient, type Looked } from "./group";
import { Holding } from "./holding";
import { type Found, look, type Picked } from "./look";
import type { FromIngest, Order, ToIngest } from "./messages";
import { rowsOf } from "./place";
import type { Source } from "./source";

const scope = self as unknown as DedicatedWorkerGlobalScope;
const opened = Queue.open(() => scope.close());
const channel = new Channel();
const holding = new Holding(opened, channel);
let picked: Picked[] = [];
let found: { sources: Source[]; looked: Looked[] } = { sources: [], looked: [] };

function tell(news: FromIngest): void {
  scope.postMessage(news);
}

let looking = new AbortController();

/** Whoever picks again, or has had enough, waits for no other looking. @throws AbortError */
async function lookAtPicked(): Promise<Found> {
  looking.abort();
  looking = new AbortController();
  const { signal } = looking;
  const files = picked;
  picked = [];
  return look(files, (done, of) => signal.aborted || tell({ kind: "looked", done, of }), signal);
}

async function scan(): Promise<void> {
  const { sources, looked, left } = await lookAtPicked();
  found = { sources, looked };
  const patients = byPatient(looked);
  tell({ kind: "scanned", patients, left, doubts: doubts(patients, looked) });
}

/** All of them get their rows first: from then on they are in the queue, whatever happens. */
async function store(orders: Order[]): Promise<void> {
  const queue = await opened;
  const { sources, looked } = found;
  const studies: string[] = [];
  try {
    for (const order of orders) {
      const { study, files } = await rowsOf(queue, order, sources, looked);
      await holding.hold(study.id, new Map(files.map(({ row, source }) => [row.id, source])));
      studies.push(study.id);
      await queue.add(
        study,
        files.map(({ row }) => row),
      );
      changed(study.id);
    }
  } catch (error) {
    for (const study of studies) await abandon(queue, study);
    throw error;
  }
  tell({ kind: "queued", studies });
  await takeIn(queue, studies);
}

/** Not half of what was asked for. */
async function abandon(queue: Queue, study: string): Promise<void> {
  await queue.remove(study);
  holding.release(study);
  changed(study);
}

/** Copy what is to be copied, offer what is to be sent from here. One after another; full is full for all that follow. */
async function takeIn(queue: Queue, studies: readonly string[]): Promise<void> {
  let full = false;
  for (const id of studies) {
    const row = await queue.study(id);
    if (row?.direct) holding.offer(id);
    else if (row) full = (full && (await noRoom(queue, id))) || (await copyStudy(queue, id));
  }
}

/** @returns true: there was no room for all of it */
async function copyStudy(queue: Queue, study: string): Promise<boolean> {
  const files = await stillPicked(queue, study);
  try {
    await copy(queue, files, holding.signal(study), (done) => {
      changed(study);
      tell({ kind: "copied", study, done, of: files.length });
    });
  } catch (error) {
    if (isFull(error)) return noRoom(queue, study);
    await settle(queue, study);
    throw error;
  }
  const row = await queue.study(study);
  if (row && row.status !== "cancelled") await settle(queue, study);
  else await queue.dropBytes(files.map((file) => file.row.id));
  return false;
}

async function stillPicked(queue: Queue, study: string): Promise<Placed[]> {
  const held = holding.files(study);
  const rows = (await queue.files(study)).filter((row) => row.state === "picked");
  return rows.flatMap((row) => {
    const source = held.get(row.id);
    return source ? [{ row, source }] : [];
  });
}

/** It waits for a person: the files are held, so that it can be sent straight from them. Halves of files go. */
async function noRoom(queue: Queue, study: string): Promise<true> {
  const unfinished = (await queue.files(study)).filter((file) => file.state === "picked");
  await queue.dropBytes(unfinished.map((file) => file.id));
  tell({ kind: "held", studies: [study] });
  await queue.change(study, () => ({ status: "stopped", problem: { code: "quota", at: Date.now() } }));
  changed(study);
  return true;
}

/** All bytes are here: the study waits for its turn like any other. Else a person has to pick the rest again. */
async function settle(queue: Queue, study: string): Promise<void> {
  const whole = (await queue.files(study)).every((file) => file.state !== "picked");
  await queue.change(study, (row) => {
    if (row.status !== "reading" && row.status !== "stopped") return {};
    return whole
      ? { status: "queued", problem: row.status === "reading" ? row.problem : null } // it may have been refused already
      : { status: "stopped", problem: { code: "pick_again", at: Date.now() } };
  });
  holding.release(study);
  changed(study);
}

/** The same files once more, for a study whose bytes are not all here: found by SOP Instance UID and size. */
async function again(study: string): Promise<void> {
  const queue = await opened;
  const { sources, looked } = await lookAtPicked();
  const byUid = new Map(looked.map((one) => [`${one.header.sopUid}|${one.size}`, sources[one.index]]));
  const rows = (await queue.files(study)).filter((row) => row.state === "picked");
  const files = new Map<string, Source>();
  for (const row of rows) {
    const source = byUid.get(await identity(queue, row));
    if (source) files.set(row.id, source);
  }
  await holding.hold(study, files);
  await queue.changeFiles([...files.keys()], { problem: null });
  const missing = rows.filter((row) => !files.has(row.id)).map((row) => row.id);
  await queue.changeFiles(missing, { problem: "unreadable" });
  await queue.change(study, (row) => ({
    status: row.direct ? "queued" : "reading",
    problem: null,
    kept: { from: Date.now(), since: null, late: null, dropped: null },
  }));
  changed(study);
  tell({ kind: "matched", study, missing: missing.length });
  await takeIn(queue, [study]);
}

async function identity(queue: Queue, row: FileRow): Promise<string> {
  return `${(await queue.fileName(row)).sopUid}|${row.size}`;
}

/** Studies that have no room go from the files that are held here. */
async function sendDirect(studies: readonly string[]): Promise<void> {
  const queue = await opened;
  for (const id of studies) {
    if (!holding.has(id)) continue;
    await queue.change(id, () => ({ direct: true, status: "queued", problem: null, next_try_at: 0 }));
    holding.offer(id);
    changed(id);
  }
}

function changed(study: string): void {
  channel.tell({ kind: "changed", study });
}

function act(order: ToIngest): Promise<void> | void {
  switch (order.kind) {
    case "port":
      return holding.connect(order.port);
    case "picked":
      return void picked.push(...order.files);
    case "scan":
      return scan();
    case "stop":
      picked = [];
      return looking.abort();
    case "store":
      return store(order.orders);
    case "again":
      return again(order.study);
    case "direct":
      return sendDirect(order.studies);
    case "going":
      return holdStores();
  }
}

scope.addEventListener("message", (event: MessageEvent<ToIngest>) => {
  Promise.resolve(act(event.data)).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") return;
    tell({ kind: "failed", code: isFull(error) ? "quota" : error instanceof NotFetched ? "part" : "failed_here" });
  });
});
