/** QR codes that were opened, and what is wrong with one that can't be. */
import { batch, signal } from "@preact/signals";
import { type Link, readLink } from "../qr/link";
import { json, Refused } from "../upload/api";
import { route, theQueue } from "./state";

/** A QR code that was opened and not used yet. */
export interface Grant extends Link {
  subject: string;
  display_name: string;
  contact: string;
  notice: string;
  takes_notes?: boolean;
}

export const grant = signal<Grant | null>(null);
export const grantProblem = signal<
  { why: "dead" | "bad" | "offline" | "busy" } | { why: "foreign"; server: string } | null
>(null);

export async function openLink(text: string): Promise<boolean> {
  const read = readLink(text, location.origin);
  if ("refused" in read) {
    grantProblem.value = read.refused === "foreign" ? { why: "foreign", server: read.server } : { why: "bad" };
    return false;
  }
  try {
    const told = await json<{
      display_name: string;
      contact: string;
      notice: string;
      expires_at: string;
      endpoint_id: string;
      takes_notes?: boolean;
    }>("/qr/inspect", {
      method: "POST",
      bearer: read.link.upload_token,
    });
    const { display_name, contact, notice, expires_at, endpoint_id, takes_notes = false } = told;
    const fresh = {
      ...read.link,
      endpoint_id,
      expires_at,
      display_name,
      contact,
      notice,
      takes_notes,
      subject: `qr:${crypto.randomUUID()}`,
    };
    await theQueue().remember("grant", fresh);
    batch(() => {
      grant.value = fresh;
      grantProblem.value = null;
      route.value = { at: "home" };
    });
    return true;
  } catch (error) {
    const status = error instanceof Refused ? error.status : 0;
    grantProblem.value = { why: status === 0 ? "offline" : status === 429 || status >= 500 ? "busy" : "dead" };
    return false;
  }
}

export async function leaveGrant(): Promise<void> {
  await theQueue().forget("grant");
  batch(() => {
    grant.value = null;
    grantProblem.value = null;
  });
}
