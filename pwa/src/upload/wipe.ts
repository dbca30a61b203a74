/**
 * The gateway's word to delete what this device keeps (`device_wipe`): of an account that was ended, or of one upload.
 * Heard with the very tokens that are deleted by it; what came by a QR code isn't the account's that issued the code.
 */
import type { Queue } from "../queue/db";
import { ENDED, type Tokens } from "../queue/rows";
import { Refused, request } from "./api";
import type { Channel } from "./channel";

/** Kept to be told to the person; says nothing about a patient. */
export interface Wiped {
  at: number;
  uploads: number;
}

export const WIPED = "wiped";
export const SESSION = "session";
/** Where the account may send to. */
export const ENDPOINTS = "endpoints";

export function isWipe(error: unknown): error is Refused {
  return error instanceof Refused && error.code === "device_wipe";
}

/** A refresh token doesn't hear it: ask with the signed token that it came with. @throws Refused `device_wipe` */
export async function askWith(path: string, bearer: string | undefined): Promise<void> {
  if (!bearer) return;
  await request(path, { bearer }).catch((error: unknown) => {
    if (isWipe(error)) throw error;
  });
}

/** Everything of an account: uploads, copies, receipts, tokens. */
export async function wipeAccount(queue: Queue, channel: Channel, subject: string): Promise<void> {
  const ids = (await queue.studies()).filter((row) => row.subject === subject).map((row) => row.id);
  const session = await queue.recall<{ subject: string }>(SESSION);
  if (session?.subject === subject) for (const name of [SESSION, ENDPOINTS, "sender"]) await queue.forget(name);
  await queue.forgetDraft(subject);
  await remove(queue, channel, ids);
}

/** @returns false: the word was for somebody else */
export async function wipeUpload(queue: Queue, channel: Channel, id: string, word: Refused): Promise<boolean> {
  const row = await queue.study(id);
  if (!row) return true;
  if (word.body.scope === "account") {
    if (row.subject.startsWith("qr:")) return false;
    await wipeAccount(queue, channel, row.subject);
    return true;
  }
  if (word.body.scope !== "upload") return false;
  await remove(queue, channel, [id]);
  return true;
}

async function remove(queue: Queue, channel: Channel, ids: readonly string[]): Promise<void> {
  const before = await queue.recall<Wiped>(WIPED);
  await queue.remember(WIPED, { at: Date.now(), uploads: (before?.uploads ?? 0) + ids.length });
  for (const id of ids) {
    await queue.remove(id);
    channel.tell({ kind: "changed", study: id });
  }
  channel.tell({ kind: "wiped" });
}

/** The gateway gave the upload up: perhaps it wants it deleted here, too. @returns true: it did, and it is */
export async function askAbout(queue: Queue, channel: Channel, id: string): Promise<boolean> {
  const row = await queue.study(id);
  if (!row?.upload_id || !row.tokens) return false;
  const { upload } = await queue.openFor<Tokens>(id, "tokens", row.tokens);
  try {
    await askWith(`/upload/${row.upload_id}/status`, upload);
    return false;
  } catch (word) {
    if (!isWipe(word)) throw word;
    return wipeUpload(queue, channel, id, word);
  }
}

/** What nobody sends or follows any more has no contact of its own: one question for each subject. */
export async function askForTheQuiet(queue: Queue, channel: Channel): Promise<void> {
  const asked = new Set<string>();
  for (const row of await queue.studies()) {
    const quiet = (ENDED.has(row.status) || row.status === "stopped") && row.upload_id && !asked.has(row.subject);
    if (!quiet) continue;
    asked.add(row.subject);
    await askAbout(queue, channel, row.id);
  }
}
