/** What the engine decides. Pure: facts in, a decision out; clocks and stores stay outside. */
import { ENDED, type FileRow, type Priority, type StudyRow } from "../queue/rows";

const RANK: Record<Priority, number> = { stat: 0, urgent: 1, routine: 2 };
const SENDABLE = new Set(["reading", "queued", "sending"]);

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

const CHUNK_TAKES_MS = 6_000;
const LEAST_CHUNK = 256 << 10;
const MOST_CHUNK = 16 << 20;
export const FIRST_CHUNK = 4 << 20;

/** The study to send now: STAT first, then the oldest; undefined: none is due. */
export function pick(rows: readonly StudyRow[], now: number): StudyRow | undefined {
  return rows
    .filter((row) => SENDABLE.has(row.status) && !row.paused && row.next_try_at <= now)
    .sort((a, b) => RANK[a.priority] - RANK[b.priority] || a.created_at - b.created_at)[0];
}

/**
 * What the device's one engine takes care of: everything, but sending a direct study, which only the page can that has
 * its files.
 */
export function onDevice(rows: readonly StudyRow[]): StudyRow[] {
  return rows.filter((row) => !row.direct || !SENDABLE.has(row.status));
}

/** What a page sends by itself: the direct studies whose files it holds. */
export function onPage(rows: readonly StudyRow[], held: ReadonlySet<string>): StudyRow[] {
  return rows.filter((row) => row.direct && SENDABLE.has(row.status) && held.has(row.id));
}

/** Its page has to be there: it is being copied, or sent from the picked files. */
export function needsItsPage(row: StudyRow): boolean {
  return row.status === "reading" || (row.direct && SENDABLE.has(row.status));
}

/** Bytes of the file can be had. */
export function sendable(row: StudyRow, file: FileRow): boolean {
  return file.state === "stored" || (row.direct && file.state === "picked" && !file.problem);
}

/** When something is due that isn't yet; Infinity: nothing waits. */
export function nextDue(rows: readonly StudyRow[]): number {
  return Math.min(Infinity, ...rows.filter((row) => SENDABLE.has(row.status) && !row.paused).map((row) => row.next_try_at));
}

/** Studies whose fate at the gateway has to be asked for. */
export function toFollow(rows: readonly StudyRow[]): StudyRow[] {
  return rows.filter((row) => row.status === "delivering" || row.status === "held");
}

/** @param luck 0..1: many devices that lost one gateway don't come back in one moment */
export function backoff(retries: number, luck: number): number {
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(retries, 10));
  return Math.round(wait * (0.5 + luck / 2));
}

/** Bytes of the next request: about six seconds' worth of this line. */
export function nextChunk(bytes: number, took_ms: number): number {
  const fitting = (bytes / Math.max(took_ms, 1)) * CHUNK_TAKES_MS;
  const steps = Math.max(1, Math.round(fitting / LEAST_CHUNK));
  return Math.min(MOST_CHUNK, steps * LEAST_CHUNK);
}

/** Rate over the last seconds, bytes per second; null: too little is known to say a number. */
export function rate(samples: readonly { at: number; bytes: number }[]): number | null {
  const first = samples[0];
  const last = samples.at(-1);
  if (!first || !last || last.at - first.at < 2_000) return null;
  return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
}

export type Verdict = "again" | "renew" | "gone" | "stop";

/**
 * What an answer of the gateway means for the study. 401: the token is over, its successor may be good. 404 at a file:
 * it is created again. Whatever asking again can't mend needs a person.
 */
export function judge(status: number, code: string): Verdict {
  if (status === 0 || status === 408 || status === 423 || status === 425 || status === 429 || status === 460) return "again";
  if (status === 401) return "renew";
  if (status === 410) return "gone";
  if (status === 409) return code === "incomplete" || code === "length_mismatch" || code === "upload_completed" ? "stop" : "again";
  if (status === 507 || status === 501) return "stop";
  return status >= 500 ? "again" : "stop";
}

/** The row's status for a state that the gateway tells. */
export function statusOf(state: string): StudyRow["status"] | null {
  switch (state) {
    case "success": case "partial": case "failed": case "held": case "delivering": case "cancelled":
      return state;
    case "expired":
      return "stopped";
    default:
      return null;
  }
}

/** Bytes may leave the device: they are in the PACS, or nobody wants them any more. */
export function mayDrop(row: StudyRow): boolean {
  return row.status === "success" || row.status === "cancelled";
}

/** What a person may do with it. */
export function actions(row: StudyRow): { pause: boolean; resume: boolean; retry: boolean; cancel: boolean; remove: boolean } {
  const sendable = SENDABLE.has(row.status);
  return {
    pause: sendable && !row.paused,
    resume: sendable && row.paused,
    retry: row.status === "stopped" || (sendable && !row.paused && row.retry_count > 0),
    cancel: sendable || row.status === "stopped",
    remove: ENDED.has(row.status),
  };
}
