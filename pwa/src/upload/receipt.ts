/** What proves that a study has arrived. */
import type { Queue } from "../queue/db";
import type { Receipt } from "../queue/rows";
import { Refused, request } from "./api";
import { asUpload } from "./tokens";

/** The signed receipt; null: there is none. */
export async function receipt(queue: Queue, id: string, uploadId: string): Promise<string | null> {
  try {
    return await (await asUpload(queue, id, (bearer) => request(`/upload/${uploadId}/receipt`, { bearer }))).text();
  } catch (error) {
    if (error instanceof Refused && error.code === "no_receipt_yet") return null;
    throw error;
  }
}

/** What the signed receipt says in short. Its signature is checked by `relaypacs receipt verify`. */
export function read(jws: string): Receipt {
  const raw = (jws.split(".")[1] ?? "").replace(/-/g, "+").replace(/_/g, "/");
  const bytes = Uint8Array.from(atob(raw), (char) => char.charCodeAt(0));
  const body = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  return {
    jws,
    id: String(body.pacs_receipt_id ?? ""),
    at: String(body.delivered_at ?? ""),
    verification: String(body.verification ?? ""),
  };
}
