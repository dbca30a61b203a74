/** What a person does to an upload. Written to the queue first; whoever runs the engine hears of it. */
import type { StudyRow } from "../queue/rows";
import { Refused, request } from "../upload/api";
import { isOver, isSignedOut } from "../upload/rules";
import { asUpload } from "../upload/tokens";
import { type Grant, spendGrant } from "./grants";
import { nudge } from "./outbox";
import { channel, theQueue } from "./state";

async function change(id: string, act: (row: StudyRow) => Partial<StudyRow>): Promise<void> {
  await theQueue().change(id, act);
  channel.tell({ kind: "changed", study: id });
  await reload(id);
  nudge();
}

/** A channel doesn't speak to itself: this tab hears of its own changes here. */
async function reload(id: string): Promise<void> {
  window.dispatchEvent(new CustomEvent("own-change", { detail: id }));
}

export const pause = (id: string): Promise<void> => change(id, () => ({ paused: true }));
export const resume = (id: string): Promise<void> => change(id, () => ({ paused: false, next_try_at: 0 }));

export async function retry(id: string): Promise<void> {
  const found = await theQueue().study(id);
  if (isOver(found?.problem ?? null)) return sendAgain(id);
  const files = await theQueue().files(id);
  const whole = found?.direct === true || files.every((file) => file.state !== "picked");
  await change(id, (row) => ({
    status: row.status === "stopped" && !whole ? row.status : "queued",
    problem: whole ? null : row.problem,
    paused: false,
    retry_count: 0,
    next_try_at: 0,
  }));
}

/** The hospital may have tried again with what it has: the gateway is asked how it stands now. */
export const askAgain = (id: string): Promise<void> =>
  change(id, () => ({ status: "delivering", paused: false, next_try_at: 0 }));

/**
 * What the gateway gave up goes once more, as a new upload, from the copy on this device.
 * @param code a new one, for what came by a code that is spent
 */
export async function sendAgain(id: string, code?: Grant): Promise<void> {
  if (code) await spendGrant(code.upload_token, () => sendAnew(id, code));
  else await sendAnew(id);
}

async function sendAnew(id: string, code?: Grant): Promise<true> {
  const files = await theQueue().files(id);
  const here = files.filter((file) => file.state === "sent" || file.state === "stored").map((file) => file.id);
  const direct = (await theQueue().study(id))?.direct;
  await theQueue().changeFiles(here, {
    state: direct ? "picked" : "stored",
    url: null,
    parts: null,
    offset: 0,
    problem: null,
  });
  const by = code && {
    subject: code.subject,
    endpoint_id: code.endpoint_id,
    tokens: await theQueue().sealFor(id, "tokens", { qr: code.upload_token }),
  };
  await change(id, (row) => ({
    status: "queued",
    problem: null,
    told: null,
    outcome: {},
    upload_id: null,
    tus_url: null,
    tokens: null,
    openings: (row.openings ?? 0) + 1,
    paused: false,
    retry_count: 0,
    next_try_at: 0,
    ...by,
  }));
  return true;
}

/** The hospital takes no notes any more: the images go without them. */
export async function sendWithoutNotes(id: string): Promise<void> {
  await theQueue().change(id, () => ({ clinical_notes: null }));
  await retry(id);
}

/** Files whose bytes aren't here are left out, and the gateway is told so. */
export async function sendWithout(id: string): Promise<void> {
  const missing = (await theQueue().files(id)).filter((file) => file.state === "picked").map((file) => file.id);
  await theQueue().changeFiles(missing, { state: "skipped" });
  await retry(id);
}

/** At the gateway first: what it doesn't hear of, it would wait for. @throws Refused: it can't be reached */
export async function cancel(id: string): Promise<void> {
  const row = await theQueue().study(id);
  if (row?.upload_id) {
    try {
      await asUpload(theQueue(), id, (bearer) => request(`/upload/${row.upload_id}`, { method: "DELETE", bearer }));
    } catch (error) {
      const over = error instanceof Refused && (error.status === 410 || error.status === 404 || error.status === 401);
      if (!over) throw error;
    }
  }
  await change(id, () => ({ status: "cancelled", problem: null, paused: false }));
  await theQueue().dropStudyBytes(id);
}

export async function remove(id: string): Promise<void> {
  await theQueue().remove(id);
  channel.tell({ kind: "changed", study: id });
  await reload(id);
}

/** What stopped for want of a sign-in goes on. */
export async function retryAfterSignIn(subject: string): Promise<void> {
  for (const row of await theQueue().studies()) {
    if (row.subject === subject && row.status === "stopped" && isSignedOut(row.problem)) await retry(row.id);
  }
}
