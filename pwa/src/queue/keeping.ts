/**
 * How long copies of images lie on this device: `app.local_ttl` of the gateway, counted from when they were copied.
 * Pure: facts in, a decision out; clocks and stores stay outside.
 *
 * Two losses are weighed. A copy of what is over, or of what the gateway has whole, is no loss: it goes by any clock.
 * A copy of what has not arrived is one: it goes by the gateway's clock only, a device's can be wrong by years; only
 * while the gateway can be reached, for then it could be sent as well; and what is on its way is sent instead, for some
 * hours. The person is warned before, and the row says what was lost.
 */
import { ENDED, type Kept, type StudyRow } from "./rows";

/** A time, and whether the gateway has told it just now. */
export interface Time {
  ms: number;
  sure: boolean;
}

/** `warn`: it goes soon. `over`: it is past its time, and waits for the gateway or is being sent. `drop`: it goes now. */
export type Keeping = "keep" | "warn" | "over" | "drop";

/** What is on its way when its time is over may be sent for so long, counted from the first contact with the gateway. */
export const LAST_CHANCE_MS = 6 * 3600_000;
const WARN_MS = 24 * 3600_000;
const ON_ITS_WAY = new Set<StudyRow["status"]>(["reading", "queued", "sending"]);

export function kept(row: StudyRow): Kept {
  return row.kept ?? { from: row.created_at, since: null, late: null, dropped: null };
}

export function endsAt(row: StudyRow, ttl_ms: number): number {
  const { from, since } = kept(row);
  return (since ?? from) + ttl_ms;
}

/** The gateway has not all of it, and nobody has given it up. */
export function unsent(row: StudyRow): boolean {
  return ON_ITS_WAY.has(row.status) || row.status === "stopped";
}

export function keeping(row: StudyRow, ttl_ms: number, now: Time): Keeping {
  if (row.status === "success" || kept(row).dropped !== null) return "keep";
  const left = endsAt(row, ttl_ms) - now.ms;
  if (left > 0) return unsent(row) && left <= Math.min(WARN_MS, ttl_ms / 3) ? "warn" : "keep";
  if (!unsent(row) || ENDED.has(row.status)) return "drop";
  if (!now.sure) return "over";
  const moves = ON_ITS_WAY.has(row.status) && !row.paused;
  return moves && now.ms < (kept(row).late ?? now.ms) + LAST_CHANCE_MS ? "over" : "drop";
}
