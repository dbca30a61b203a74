/** What a person does to an upload. Written to the queue first; whoever runs the engine hears of it. */
import type { StudyRow } from "../queue/rows";
import { Refused, request } from "../upload/api";
import { uploadToken } from "../upload/tokens";
import { channel, nudge, theQueue } from "./state";

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
  const files = await theQueue().files(id);
  const whole = files.every((file) => file.state !== "picked");
  await change(id, (row) => ({
    status: row.status === "stopped" && !whole ? row.status : "queued",
    problem: whole ? null : row.problem,
    paused: false,
    retry_count: 0,
    next_try_at: 0,
  }));
}

/** The hospital may have tried again with what it has: the gateway is asked how it stands now. */
export const askAgain = (id: string): Promise<void> => change(id, () => ({ status: "delivering", paused: false, next_try_at: 0 }));

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
      const bearer = await uploadToken(theQueue(), id);
      await request(`/upload/${row.upload_id}`, { method: "DELETE", bearer });
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
    const asked = ["unauthorized", "signed_out", "token_expired", "token_reused"].includes(row.problem?.code ?? "");
    if (row.subject === subject && row.status === "stopped" && asked) await retry(row.id);
  }
}
