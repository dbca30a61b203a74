/** What the gateway asks of every device, whoever uses it; the last answer holds while there is no line. */
import type { Queue } from "../queue/db";
import { json } from "./api";

export interface Terms {
  local_ttl_ms: number;
  privacy_contact: string;
}

const NAME = "terms";
/** Of a gateway that was never asked: its own default. */
const UNTOLD: Terms = { local_ttl_ms: 72 * 3600_000, privacy_contact: "" };

export async function knownTerms(queue: Queue): Promise<Terms> {
  return (await queue.recall<Terms>(NAME)) ?? UNTOLD;
}

/** @throws Refused: it can't be reached */
export async function askTerms(queue: Queue): Promise<Terms> {
  const told = await json<{ local_ttl_seconds: number; privacy_contact: string }>("/app/config");
  const fresh = { local_ttl_ms: told.local_ttl_seconds * 1000, privacy_contact: told.privacy_contact };
  await queue.remember(NAME, fresh);
  return fresh;
}
