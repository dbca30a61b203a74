/**
 * Looks at picked files and copies them, encrypted, into the queue; off the screen's thread. Files are read a window
 * at a time; what was copied is sent while the rest is being read.
 */
import { readHeader, type Reading } from "../dicom/header";
import { Queue } from "../queue/db";
import { READING, SEGMENT_BYTES, type FileRow, type Priority, type StudyRow } from "../queue/rows";
import type { Sealed } from "../queue/seal";
import { Channel } from "../upload/channel";
import { byPatient, studyMetadata, type Left, type Looked, type Patient } from "./group";

export interface Picked {
  file: File;
  path: string;
}

/** What the person decided in the review. */
export interface Order {
  patient: Patient;
  subject: string;
  endpoint_id: string;
  to: { display_name: string; contact: string };
  priority: Priority;
  uploader: { name?: string; organisation?: string; phone?: string };
  qr: string | null;
}

export type ToIngest =
  | { kind: "scan"; files: Picked[] }
  | { kind: "store"; orders: Order[] }
  | { kind: "again"; study: string; files: Picked[] };

export type FromIngest =
  | { kind: "looked"; done: number; of: number }
  | { kind: "scanned"; patients: Patient[]; left: Left[] }
  | { kind: "queued"; studies: string[] }
  | { kind: "copied"; study: string; done: number; of: number }
  | { kind: "matched"; study: string; found: number; missing: number }
  | { kind: "failed"; code: "quota" | "failed_here" };

const WINDOW = 64 << 10;
const LARGE_WINDOW = 4 << 20;
const AT_ONCE = 8;
const SEGMENTS_PER_TX = 16;

const scope = self as unknown as DedicatedWorkerGlobalScope;
const channel = new Channel();
let picked: Picked[] = [];
let looked = new Map<number, Looked>();

function tell(news: FromIngest): void {
  scope.postMessage(news);
}

async function look(file: File): Promise<Reading> {
  const first = await readHeader(await window(file, WINDOW), file.size <= WINDOW);
  return "more" in first ? readHeader(await window(file, LARGE_WINDOW), true) : first;
}

async function window(file: File, bytes: number): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(0, bytes).arrayBuffer());
}

async function lookAll(files: Picked[]): Promise<Left[]> {
  const left: Left[] = [];
  looked = new Map();
  let done = 0;
  const waiting = files.entries();
  const line = async (): Promise<void> => {
    for (const [index, { file, path }] of waiting) {
      const reading = await look(file).catch(() => null);
      if (reading && "header" in reading) looked.set(index, { index, size: file.size, header: reading.header });
      else left.push({ name: path || file.name, why: !reading || "more" in reading ? (reading ? "broken" : "unreadable") : reading.unfit });
      done += 1;
      if (done % 25 === 0) tell({ kind: "looked", done, of: files.length });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, line));
  return left;
}

async function scan(files: Picked[]): Promise<void> {
  picked = files;
  const left = await lookAll(files);
  const inOrder = [...looked.values()].sort((a, b) => a.index - b.index);
  tell({ kind: "scanned", patients: byPatient(inOrder), left });
}

async function store(orders: Order[]): Promise<void> {
  await navigator.locks.request(READING, { mode: "shared" }, () => storeAll(orders));
}

async function storeAll(orders: Order[]): Promise<void> {
  const queue = await Queue.open(() => scope.close());
  const placed: { study: StudyRow; files: { row: FileRow; file: File }[] }[] = [];
  for (const order of orders) placed.push(await place(queue, order));
  tell({ kind: "queued", studies: placed.map(({ study }) => study.id) });
  for (const { study, files } of placed) await copy(queue, study.id, files);
}

/** Rows for a patient's studies: from here on it is in the queue, whatever happens. */
async function place(queue: Queue, order: Order): Promise<{ study: StudyRow; files: { row: FileRow; file: File }[] }> {
  const id = crypto.randomUUID();
  const { patient } = order;
  const files: { row: FileRow; file: File }[] = [];
  for (const index of patient.studies.flatMap((study) => study.files)) {
    const one = picked[index];
    if (!one) continue;
    const fileId = crypto.randomUUID();
    const sopUid = looked.get(index)?.header.sopUid ?? "";
    const named = await queue.nameFile(fileId, { name: one.path || one.file.name, sopUid });
    const segments = Math.ceil(one.file.size / SEGMENT_BYTES);
    files.push({
      file: one.file,
      row: { id: fileId, study_id: id, size: one.file.size, segments, state: "picked", offset: 0, url: null, named, problem: null },
    });
  }
  const metadata = {
    patient: { name: patient.name, patientId: patient.patientId, birthDate: patient.birthDate },
    studies: patient.studies.map(({ date, description, modalities, files: of }) => ({ date, description, modalities, files: of.length })),
    declared: studyMetadata(patient, order.priority),
    uploader: order.uploader,
    to: order.to,
  };
  const study: StudyRow = {
    id,
    subject: order.subject,
    endpoint_id: order.endpoint_id,
    priority: order.priority,
    status: "reading",
    paused: false,
    retry_count: 0,
    next_try_at: 0,
    total_files: files.length,
    total_bytes: files.reduce((sum, { row }) => sum + row.size, 0),
    created_at: Date.now(),
    changed_at: Date.now(),
    upload_id: null,
    tus_url: null,
    metadata: await queue.sealFor(id, "metadata", metadata),
    clinical_notes: null,
    tokens: order.qr ? await queue.sealFor(id, "tokens", { qr: order.qr }) : null,
    receipt: null,
    outcome: {},
    problem: null,
  };
  await queue.add(study, files.map(({ row }) => row));
  channel.tell({ kind: "changed", study: id });
  return { study, files };
}

async function copy(queue: Queue, study: string, files: { row: FileRow; file: File }[]): Promise<void> {
  let batch: { file: string; index: number; sealed: Sealed }[] = [];
  let whole: string[] = [];
  let done = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async (): Promise<void> => {
    await writing; // one batch is prepared while the one before it commits
    const [segments, ids, count] = [batch, whole, done];
    [batch, whole] = [[], []];
    writing = queue.putSegments(segments, ids).then(() => {
      channel.tell({ kind: "changed", study });
      tell({ kind: "copied", study, done: count, of: files.length });
    });
  };
  try {
    for (const { row, file } of files) {
      const problem = await segmentsOf(queue, row, file, (one) => batch.push(one), () => batch.length >= SEGMENTS_PER_TX ? flush() : undefined);
      if (problem) await queue.changeFiles([row.id], { problem });
      else whole.push(row.id);
      done += 1;
      if (batch.length >= SEGMENTS_PER_TX) await flush();
    }
    await flush();
    await writing;
  } finally {
    await settleReading(queue, study); // a full device, too, leaves a study that says what it lacks
  }
}

async function segmentsOf(
  queue: Queue, row: FileRow, file: File,
  push: (one: { file: string; index: number; sealed: Sealed }) => void,
  flush: () => Promise<void> | undefined,
): Promise<string | null> {
  for (let index = 0; index < row.segments; index += 1) {
    let bytes: ArrayBuffer;
    try {
      bytes = await file.slice(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES).arrayBuffer();
    } catch {
      return "unreadable"; // gone from the disk, or changed since it was picked
    }
    push({ file: row.id, index, sealed: await queue.sealSegment(row.id, index, bytes) });
    await flush();
  }
  return null;
}

/** All bytes are here: the study waits for its turn like any other. Else a person has to pick the rest again. */
async function settleReading(queue: Queue, study: string): Promise<void> {
  const files = await queue.files(study);
  const whole = files.every((file) => file.state !== "picked");
  await queue.change(study, (row) => {
    if (row.status !== "reading" && row.status !== "stopped") return {};
    return whole ? { status: "queued", problem: null } : { status: "stopped", problem: { code: "pick_again", at: Date.now() } };
  });
  channel.tell({ kind: "changed", study });
}

/** The same files once more, for a study whose bytes are not all here. */
async function again(study: string, files: Picked[]): Promise<void> {
  const queue = await Queue.open(() => scope.close());
  picked = files;
  await lookAll(files);
  const byUid = new Map([...looked.values()].map((one) => [`${one.header.sopUid}|${one.size}`, one.index]));
  const found: { row: FileRow; file: File }[] = [];
  let missing = 0;
  for (const row of await queue.files(study)) {
    if (row.state !== "picked") continue;
    const { sopUid } = await queue.fileName(row);
    const index = byUid.get(`${sopUid}|${row.size}`);
    const one = index === undefined ? undefined : picked[index];
    if (one) found.push({ row, file: one.file });
    else missing += 1;
  }
  tell({ kind: "matched", study, found: found.length, missing });
  await navigator.locks.request(READING, { mode: "shared" }, () => copy(queue, study, found));
}

scope.addEventListener("message", (event: MessageEvent<ToIngest>) => {
  const act = event.data.kind === "scan" ? scan(event.data.files) : event.data.kind === "store" ? store(event.data.orders) : again(event.data.study, event.data.files);
  act.catch((error: unknown) => {
    const full = error instanceof DOMException && error.name === "QuotaExceededError";
    tell({ kind: "failed", code: full ? "quota" : "failed_here" });
  });
});
