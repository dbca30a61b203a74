/** What the engine decides. Pure: facts in, a decision out; clocks and stores stay outside. */
import { ENDED, type FileRow, type Priority, type Problem, type StudyRow } from "../queue/rows";

const RANK: Record<Priority, number> = { stat: 0, urgent: 1, routine: 2 };
const SENDABLE = new Set(["reading", "queued", "sending"]);
const SIGNED_OUT = new Set(["unauthorized", "signed_out", "token_expired", "token_reused"]);
const LACKS_BYTES = new Set(["pick_again", "lost_here", "quota", "kept_too_long"]);
const OVER = new Set(["upload_cancelled", "upload_expired", "upload_gone"]);

/** What proxies say to a method that they don't let through. */
const NO_PATCH = new Set([403, 405, 501]);

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

const CHUNK_TAKES_MS = 10_000;
/** A short request says little of how fast a line is. */
const GROWS = 4;
const LEAST_CHUNK = 256 << 10;
const LEAST_AFTER_SILENCE = 64 << 10;
const FIRST_AFTER_CUT = 128 << 10;
const MOST_CHUNK = 16 << 20;
/** Little enough for a line of which nothing is known yet. */
export const FIRST_CHUNK = 1 << 20;

/** The study to send now: STAT first, then the oldest; undefined: none is due. */
export function pick(rows: readonly StudyRow[], now: number): StudyRow | undefined {
  return rows
    .filter((row) => SENDABLE.has(row.status) && !row.paused && isDue(row, now))
    .sort((a, b) => RANK[a.priority] - RANK[b.priority] || a.created_at - b.created_at)[0];
}

/** A clock that was put back since the last try would park the next one for as long. */
function isDue({ next_try_at, problem }: StudyRow, now: number): boolean {
  return next_try_at <= now || (problem !== null && now < problem.at);
}

/** The study that is being sent makes room for one that is more urgent; it goes on afterwards where it was. */
export function givesWay(current: StudyRow, rows: readonly StudyRow[], now: number): boolean {
  const next = pick(rows, now);
  return next !== undefined && RANK[next.priority] < RANK[current.priority];
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

/** It goes, or would if there were a line. */
export function isSending(row: StudyRow): boolean {
  return SENDABLE.has(row.status) && !row.paused;
}

/** Bytes of the file can be had. */
export function sendable(row: StudyRow, file: FileRow): boolean {
  return file.state === "stored" || (row.direct && file.state === "picked" && !file.problem);
}

/** When something is due that isn't yet; Infinity: nothing waits. */
export function nextDue(rows: readonly StudyRow[]): number {
  return Math.min(
    Number.POSITIVE_INFINITY,
    ...rows.filter((row) => SENDABLE.has(row.status) && !row.paused).map((row) => row.next_try_at),
  );
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

/** Bytes of the next request: about ten seconds' worth of what one connection carries now. */
export function nextChunk(bytes: number, took_ms: number): number {
  const fitting = (bytes / Math.max(took_ms, 1)) * CHUNK_TAKES_MS;
  const steps = Math.max(1, Math.round(Math.min(fitting, bytes * GROWS) / LEAST_CHUNK));
  return Math.min(MOST_CHUNK, steps * LEAST_CHUNK);
}

/** So much more than the usual goes with one request: a little rest alone costs a round trip. */
const MORE_AT_ONCE = 1.25;

/** Bytes of the next request, of so many that are left. */
export function nextPiece({ chunk, most }: Pace, left: number): number {
  return left <= Math.min(most, chunk * MORE_AT_ONCE) ? left : chunk;
}

/** Nothing goes for so long, or no answer comes: 5 s, and four round trips of a slow line. */
const SILENT_MS = 8_000;
/** Where small questions tell sooner whether it goes on: an outage of seconds ends no request. */
const SILENT_WATCHED_MS = 20_000;

/** Four round trips of a slow line: after a change of networks what lives has moved by then. */
export const DOUBTED_MS = 3_000;

/**
 * How long a body may stand still.
 * @param gone all of it has left, and what the system holds of it is still to arrive
 * @param isWatched it is found out otherwise whether it goes on
 */
export function patience(pace: Pace, bytes: number, gone: boolean, isWatched: boolean): number {
  return (isWatched ? SILENT_WATCHED_MS : SILENT_MS) + (gone ? CHUNK_TAKES_MS * Math.max(1, bytes / pace.chunk) : 0);
}

/** Bytes of the next request, after one that took too long to be heard of. */
export function lessChunk(bytes: number): number {
  return Math.max(LEAST_AFTER_SILENCE, bytes >> 2);
}

/** Bytes of the next request, after a line that broke: its answer says soon that the line is back. */
export function firstChunk(bytes: number): number {
  return Math.min(bytes, FIRST_AFTER_CUT);
}

/** How the next requests are made. */
export interface Pace {
  /** Bytes of each. */
  chunk: number;
  /** What stands before the gateway takes no more at once. */
  most: number;
  /** What stands before the gateway knows no PATCH: it goes as a POST that says so. */
  posts: boolean;
}

export const FIRST_PACE: Readonly<Pace> = { chunk: FIRST_CHUNK, most: MOST_CHUNK, posts: false };

/** The next requests take about as long, whatever the line does. */
export function paced(pace: Pace, bytes: number, took_ms: number): number {
  return Math.min(pace.most, nextChunk(bytes, took_ms));
}

/**
 * A refusal that isn't the gateway's (it has no problem document): a proxy may have limits of its own.
 * @returns how it may go; null: nothing of that helps
 */
export function yielding(
  pace: Pace,
  refused: { status: number; code: string },
  method: string,
  bytes: number,
): Pace | null {
  if (refused.code !== `http_${refused.status}`) return null;
  if (refused.status === 413 && bytes > LEAST_AFTER_SILENCE) {
    const most = Math.max(LEAST_AFTER_SILENCE, Math.min(pace.most, bytes >> 1));
    return { ...pace, most, chunk: Math.min(pace.chunk, most) };
  }
  return method === "PATCH" && NO_PATCH.has(refused.status) ? { ...pace, posts: true } : null;
}

/** Rate over the last seconds, bytes per second; null: too little is known to say a number. */
export function rate(samples: readonly { at: number; bytes: number }[]): number | null {
  const first = samples[0];
  const last = samples.at(-1);
  if (!first || !last || last.at - first.at < 2_000) return null;
  return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
}

export type Verdict = "again" | "renew" | "wipe" | "gone" | "stop";

/**
 * What an answer of the gateway means for the study. 401: the token is over, its successor may be good. 404 at a file:
 * it is created again. Whatever asking again can't mend needs a person.
 */
export function judge(status: number, code: string): Verdict {
  if (status === 0 || status === 408 || status === 423 || status === 425 || status === 429 || status === 460)
    return "again";
  if (status === 401) return code === "device_wipe" ? "wipe" : "renew";
  if (status === 410 || (status === 404 && code === "not_found")) return "gone";
  if (status === 404) return "again"; // not the gateway's word: whatever stands in front of it
  if (status === 409)
    return code === "incomplete" || code === "length_mismatch" || code === "upload_completed" ? "stop" : "again";
  if (status === 501) return "stop";
  return status >= 500 ? "again" : "stop"; // 507 too: a full gateway gets empty again
}

/** Asking again doesn't mend it. */
export function isFinal(status: number, code: string): boolean {
  const verdict = judge(status, code);
  return verdict === "gone" || verdict === "stop";
}

/** It would be the same answer for the next file: the line, or the gateway as a whole. */
export function concernsAll(status: number): boolean {
  return status === 0 || status === 429 || status === 503 || status === 507;
}

/** The row's status for a state that the gateway tells. */
export function statusOf(state: string): StudyRow["status"] | null {
  switch (state) {
    case "success":
    case "partial":
    case "failed":
    case "held":
    case "delivering":
    case "cancelled":
      return state;
    case "expired":
      return "stopped";
    default:
      return null;
  }
}

/** The gateway won't take this upload up again: what is on the device goes as a new one, if it goes. */
export function isOver(problem: Problem | null): boolean {
  return problem !== null && OVER.has(problem.code);
}

/** Why an upload is gone, as `problem.code`. @param state of the upload or of one of its files, as the gateway tells it */
export function goneBecause(state: unknown): string {
  return state === "cancelled" || state === "expired" ? `upload_${state}` : "upload_gone";
}

/** Only the files that were picked, picked again, let it go on. */
export function lacksBytes(row: StudyRow): boolean {
  return row.status === "stopped" && LACKS_BYTES.has(row.problem?.code ?? "");
}

/** Only signing in, or a new code, lets it go on. */
export function isSignedOut(problem: Problem | null): boolean {
  return problem !== null && SIGNED_OUT.has(problem.code);
}

/** It came by a code that is spent: another one lets it go on, from the copy on this device. */
export function needsCode(row: StudyRow): boolean {
  return (
    row.subject.startsWith("qr:") && (isOver(row.problem) || (row.status === "stopped" && isSignedOut(row.problem)))
  );
}

/** The code that was opened just now is one for it. */
export function goesBy(row: StudyRow, code: { endpoint_id: string } | null): boolean {
  return code !== null && code.endpoint_id === row.endpoint_id && needsCode(row);
}

export interface Actions {
  pause: boolean;
  resume: boolean;
  /** Go on with the same upload. */
  retry: boolean;
  /** Send what the gateway gave up as a new upload. */
  again: boolean;
  cancel: boolean;
  remove: boolean;
}

/** What a person may do with it. */
export function actions(row: StudyRow): Actions {
  const sends = SENDABLE.has(row.status);
  const over = isOver(row.problem);
  const stopped = row.status === "stopped" && !over;
  return {
    pause: sends && !row.paused,
    resume: sends && row.paused,
    retry: (stopped && !needsCode(row) && !lacksBytes(row)) || (sends && !row.paused && row.retry_count > 0),
    again: over && !needsCode(row) && !row.kept?.dropped,
    cancel: sends || stopped || row.status === "delivering" || row.status === "held",
    remove: ENDED.has(row.status) || over,
  };
}
