/** Where an account may send to. */
import { signal } from "@preact/signals";
import { json, Refused } from "../upload/api";
import { asAccount, storedSession } from "../upload/session";
import { isWipe, wipeAccount } from "../upload/wipe";
import { seeWiped } from "./device";
import { channel, load, session, shown, theQueue } from "./state";

export interface Endpoint {
  endpoint_id: string;
  display_name: string;
  contact: string;
  default?: boolean;
  notice: string;
  /** Clinical notes get into the study. */
  takes_notes?: boolean;
  limits: { max_files: number; max_upload_size: number };
}

export const endpoints = signal<Endpoint[]>([]);

export async function loadEndpoints(): Promise<void> {
  if (!session.value) return;
  try {
    endpoints.value = (
      await asAccount(theQueue(), (bearer) => json<{ endpoints: Endpoint[] }>("/endpoints", { bearer }))
    ).endpoints;
  } catch (error) {
    if (isWipe(error)) {
      await wipeAccount(theQueue(), channel, session.value.subject);
      await Promise.all([...shown.value.keys()].map(load)); // a channel doesn't speak to itself
      await heardWiped();
    } else if (error instanceof Refused && error.status === 401) session.value = null;
  }
}

/** The gateway's word to delete reached one of the workers, or this page. */
export async function heardWiped(): Promise<void> {
  session.value = await storedSession(theQueue());
  await seeWiped();
}
