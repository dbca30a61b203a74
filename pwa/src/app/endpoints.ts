/** Where an account may send to: kept on the device, so that who begins without a line knows it too. */
import { effect, signal } from "@preact/signals";
import { json, Refused } from "../upload/api";
import { asAccount, storedSession } from "../upload/session";
import { ENDPOINTS, isWipe, wipeAccount } from "../upload/wipe";
import { Asking } from "./asking";
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

interface Remembered {
  subject: string;
  endpoints: Endpoint[];
}

export const endpoints = signal<Endpoint[]>([]);
/** The gateway has told them, now or once. */
export const endpointsKnown = signal(false);

/** From now on they are those of whoever is signed in. */
export function startEndpoints(): void {
  let known: string | null = null;
  effect(() => {
    const subject = session.value?.subject ?? null;
    if (subject === known) return;
    known = subject;
    endpoints.value = [];
    endpointsKnown.value = false;
    if (subject) void remembered(subject).then(() => asking.now());
  });
}

async function remembered(subject: string): Promise<void> {
  const kept = await theQueue().recall<Remembered>(ENDPOINTS);
  if (kept?.subject === subject && session.value?.subject === subject) know(kept.endpoints);
}

function know(told: Endpoint[]): void {
  endpoints.value = told;
  endpointsKnown.value = true;
}

const asking = new Asking(async () => {
  const subject = session.value?.subject;
  if (!subject) return true;
  try {
    const ask = (bearer: string): Promise<Remembered> => json<Remembered>("/endpoints", { bearer });
    const { endpoints: told } = await asAccount(theQueue(), ask, subject);
    if (session.value?.subject !== subject) return false;
    know(told);
    await theQueue().remember(ENDPOINTS, { subject, endpoints: told } satisfies Remembered);
    return true;
  } catch (error) {
    if (isWipe(error)) {
      await wipeAccount(theQueue(), channel, subject);
      await Promise.all([...shown.value.keys()].map(load)); // a channel doesn't speak to itself
      await heardWiped();
    } else if (error instanceof Refused && error.status === 401) session.value = null;
    return session.value === null;
  }
});

/** Ask for them now. */
export function askEndpoints(): Promise<void> {
  return asking.now();
}

/** The line may be back. */
export function wakeEndpoints(): void {
  asking.wake();
}

/** The gateway's word to delete reached one of the workers, or this page. */
export async function heardWiped(): Promise<void> {
  session.value = await storedSession(theQueue());
  await seeWiped();
}
