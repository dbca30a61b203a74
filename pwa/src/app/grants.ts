/** QR codes that were opened. Each is kept, sealed, until it is used, over or discarded: a bad line loses none. */
import { batch, computed, signal } from "@preact/signals";
import { type Link, readLink } from "../qr/link";
import { json, Refused } from "../upload/api";
import { Asking } from "./asking";
import { route, theQueue } from "./state";

/** A QR code that was opened and not used yet. */
export interface Grant extends Link {
  subject: string;
  /** The gateway has said where it leads; until then the texts are empty. */
  inspected: boolean;
  display_name: string;
  contact: string;
  notice: string;
  takes_notes: boolean;
}

type Inspected = Pick<Grant, "endpoint_id" | "expires_at" | "display_name" | "contact" | "notice"> & {
  takes_notes?: boolean;
};

const NAME = "grant";
const INSPECT_AGAIN_MS = 30_000;

const grants = signal<readonly Grant[]>([]);
/** The one that was opened last. */
export const grant = computed(() => grants.value.at(-1) ?? null);
/** Why the gateway hasn't said yet what it is for; it is asked again. */
export const grantTrouble = signal<"offline" | "busy" | null>(null);
export const grantProblem = signal<{ why: "dead" | "bad" } | { why: "foreign"; server: string } | null>(null);

/** Codes that are being used at this moment: that they are spent is no news. */
const using = new Set<string>();
let inspected_at = 0;

export async function startGrants(): Promise<void> {
  grants.value = await kept();
}

async function kept(): Promise<readonly Grant[]> {
  return (await theQueue().recall<Grant[]>(NAME)) ?? [];
}

/** Other tabs may have changed them meanwhile. */
async function change(act: (known: readonly Grant[]) => readonly Grant[]): Promise<void> {
  const next = act(await kept());
  if (next.length > 0) await theQueue().remember(NAME, next);
  else await theQueue().forget(NAME);
  grants.value = next;
}

/** @returns false: it is no link of this gateway */
export async function openLink(text: string): Promise<boolean> {
  const read = readLink(text, location.origin);
  if ("refused" in read) {
    grantProblem.value = read.refused === "foreign" ? { why: "foreign", server: read.server } : { why: "bad" };
    return false;
  }
  const { link } = read;
  const fresh: Grant = {
    ...link,
    subject: `qr:${crypto.randomUUID()}`,
    inspected: false,
    display_name: "",
    contact: "",
    notice: "",
    takes_notes: false,
  };
  await change((known) => {
    const same = known.find((one) => one.upload_token === link.upload_token);
    return [...known.filter((one) => one !== same), same ?? fresh];
  });
  batch(() => {
    grantTrouble.value = null;
    grantProblem.value = null;
    route.value = { at: "home" };
  });
  void asking.now();
  return true;
}

const asking = new Asking(async () => {
  let trouble: typeof grantTrouble.value = null;
  for (const one of grants.value) trouble = (await inspect(one)) ?? trouble;
  grantTrouble.value = trouble;
  inspected_at = Date.now();
  return trouble === null;
});

/** It uses nothing up. @returns why the gateway can't be asked just now; null: it has answered */
async function inspect({ upload_token }: Grant): Promise<typeof grantTrouble.value> {
  try {
    const told = await json<Inspected>("/qr/inspect", { method: "POST", bearer: upload_token });
    const { endpoint_id, expires_at, display_name, contact, notice, takes_notes = false } = told;
    const said = { inspected: true, endpoint_id, expires_at, display_name, contact, notice, takes_notes };
    await change((known) => known.map((one) => (one.upload_token === upload_token ? { ...one, ...said } : one)));
    return null;
  } catch (error) {
    const status = error instanceof Refused ? error.status : 0;
    if (status === 0) return "offline";
    if (status === 429 || status >= 500) return "busy";
    if (!using.has(upload_token) && grants.value.some((one) => one.upload_token === upload_token)) {
      await leaveGrant(upload_token);
      grantProblem.value = { why: "dead" };
    }
    return null;
  }
}

/** Whoever comes back to a code that is spent or over by now hears of it before the files are picked. */
export function inspectGrants(): void {
  if (grants.value.length === 0) return;
  asking.wake();
  if (Date.now() - inspected_at >= INSPECT_AGAIN_MS) void asking.now();
}

/** What it is used for has come to something, or hasn't. */
export async function spendGrant(upload_token: string, act: () => Promise<boolean>): Promise<boolean> {
  using.add(upload_token);
  const used = await act();
  if (used) await leaveGrant(upload_token);
  else using.delete(upload_token);
  return used;
}

/** It is used, over or discarded. */
export async function leaveGrant(upload_token: string): Promise<void> {
  await change((known) => known.filter((one) => one.upload_token !== upload_token));
  grantProblem.value = null;
}
