/** Saying that a study is all there. */
import type { Queue } from "../queue/db";
import type { StudyRow } from "../queue/rows";
import { json } from "./api";
import type { GatewayStatus } from "./follow";
import { asUpload } from "./tokens";

/** What the gateway says to it. */
export type Completed = GatewayStatus & { status?: string };

/**
 * @param wait_s for what becomes of it: one that is soon delivered needs no second question
 * @throws Refused, AbortError
 */
export async function askToComplete(
  queue: Queue,
  row: StudyRow,
  wait_s: number,
  signal: AbortSignal,
): Promise<Completed> {
  const skipped = (await queue.files(row.id)).filter((file) => file.state === "skipped");
  const body = { skipped: skipped.map((file) => ({ file_id: file.id, reason: "left out by the sender" })) };
  return asUpload(queue, row.id, (bearer) =>
    json<Completed>(`/upload/${row.upload_id}/complete`, {
      method: "POST",
      bearer,
      body,
      headers: { Prefer: `wait=${wait_s}` },
      signal,
      repeats: true,
    }),
  );
}
