/** Removes copies whose time on this device is over (`queue/keeping.ts` says which). */
import type { Queue } from "../queue/db";
import { keeping, kept, unsent } from "../queue/keeping";
import type { Kept, StudyRow } from "../queue/rows";
import { json, Refused, reachable } from "./api";
import type { Channel } from "./channel";
import { gatewayTime } from "./clock";
import { statusOf } from "./rules";
import { askTerms, knownTerms } from "./terms";
import { uploadToken } from "./tokens";

/** Look at every study once. */
export async function expire(queue: Queue, channel: Channel): Promise<void> {
  const { local_ttl_ms } = await askTerms(queue).catch(() => knownTerms(queue));
  const change = async (id: string, act: (row: StudyRow) => Partial<StudyRow>): Promise<void> => {
    await queue.change(id, act);
    channel.tell({ kind: "changed", study: id });
  };
  const note = (id: string, what: Partial<Kept>): Promise<void> =>
    change(id, (row) => ({ kept: { ...kept(row), ...what } }));

  await expireDrafts(queue, local_ttl_ms);
  for (let row of await queue.studies()) {
    const now = gatewayTime();
    if (now.sure && kept(row).since === null) {
      await note(row.id, { since: kept(row).from + now.ms - Date.now() });
      row = (await queue.study(row.id)) ?? row;
    }
    const how = keeping(row, local_ttl_ms, now);
    if (how === "over" && now.sure && kept(row).late === null) await note(row.id, { late: now.ms });
    if (how === "drop") await drop(queue, change, row, now.ms, local_ttl_ms);
  }
}

/** What was never sent names people too: it goes after the same time, by the gateway's clock. */
async function expireDrafts(queue: Queue, ttl_ms: number): Promise<void> {
  const now = gatewayTime();
  if (!now.sure) return;
  for (const owner of await queue.draftOwners()) {
    const found = await queue.draft<{ at: number }>(owner, "found");
    if (!found || now.ms - found.at > ttl_ms) await queue.forgetDraft(owner);
  }
}

type Change = (id: string, act: (row: StudyRow) => Partial<StudyRow>) => Promise<void>;

async function drop(queue: Queue, change: Change, row: StudyRow, now: number, ttl_ms: number): Promise<void> {
  if (!unsent(row)) {
    await queue.dropStudyBytes(row.id);
    return change(row.id, (present) => ({ kept: { ...kept(present), dropped: now } }));
  }
  const further = await beyond(queue, row);
  if (further === "unknown") return; // asked again in a minute
  if (further) return change(row.id, () => ({ status: further, problem: null }));
  const files = await queue.files(row.id);
  const lost = files.filter((file) => file.state === "stored").map((file) => file.id);
  const problem = {
    code: "kept_too_long",
    at: Date.now(),
    ttl_ms,
    sent: files.filter((file) => file.state === "sent").length,
  };
  // First the row, so that nobody sends it any more; a crash between the two is mended by the next look.
  await change(row.id, () => ({ status: "stopped", paused: false, problem }));
  await queue.changeFiles(lost, { state: "picked" });
  await queue.dropStudyBytes(row.id);
  await change(row.id, (present) => ({ kept: { ...kept(present), dropped: now } }));
}

/** The gateway may have all of it, and the answer was lost: then nothing is. @returns null: it hasn't */
async function beyond(queue: Queue, row: StudyRow): Promise<StudyRow["status"] | "unknown" | null> {
  if (!row.upload_id) return (await reachable()) ? null : "unknown";
  try {
    const bearer = await uploadToken(queue, row.id);
    const told = await json<{ state: string }>(`/upload/${row.upload_id}/status`, { bearer });
    const status = statusOf(told.state);
    return status === null ? null : "delivering"; // followed from there to its end
  } catch (error) {
    const over = error instanceof Refused && [401, 404, 410].includes(error.status) && error.code !== "device_wipe";
    return over ? null : "unknown";
  }
}
