/** The tokens of an upload: opened once, renewed in the middle of it, by whichever worker needs one first. */
import type { Queue } from "../queue/db";
import type { Metadata, StudyRow, Tokens } from "../queue/rows";
import { json, Refused } from "./api";
import { asAccount } from "./session";
import { askWith } from "./wipe";

interface Opened {
  upload_id: string;
  upload_token: string;
  expires_in: number;
  refresh_token: string;
  endpoint_id: string;
  tus_url: string;
}

const EARLY_MS = 60_000;
const EARLY_SHARE = 0.2;

/**
 * Open the study's upload. Its id is the Idempotency-Key: an answer that got lost is asked for again and gives the same
 * upload.
 */
export async function openUpload(queue: Queue, row: StudyRow): Promise<StudyRow> {
  return navigator.locks.request(`tokens:${row.id}`, async () => {
    const present = (await queue.study(row.id)) ?? row;
    if (present.upload_id) return present;
    const metadata = await queue.openFor<Metadata>(row.id, "metadata", row.metadata);
    const tokens = await read(queue, present);
    const { clinical_notes: sealedNotes } = present;
    const notes = sealedNotes ? await queue.openFor<string>(row.id, "clinical_notes", sealedNotes) : "";
    const open = (bearer: string): Promise<Opened> =>
      json<Opened>("/upload/init", {
        method: "POST",
        bearer,
        headers: { "Idempotency-Key": present.openings ? `${row.id}.${present.openings}` : row.id },
        repeats: true,
        body: {
          study_metadata: metadata.declared,
          total_files: row.total_files,
          total_size_bytes: row.total_bytes,
          endpoint_id: row.endpoint_id,
          ...(notes && { clinical_notes: notes }),
          ...(Object.values(metadata.uploader).some(Boolean) && { uploader: metadata.uploader }),
        },
      });
    const opened = await (tokens.qr ? open(tokens.qr) : asAccount(queue, open, present.subject));
    const sealed = await queue.sealFor(row.id, "tokens", kept(opened));
    const tus_url = new URL(opened.tus_url).pathname; // always this origin, whatever a proxy made of it
    const changed = await queue.change(row.id, () => ({ upload_id: opened.upload_id, tus_url, tokens: sealed }));
    if (!changed) throw new Refused(410, "removed");
    return changed;
  });
}

/** @param bad a token that was just refused */
export async function uploadToken(queue: Queue, id: string, bad?: string): Promise<string> {
  return navigator.locks.request(`tokens:${id}`, async () => {
    const row = await queue.study(id);
    if (!row?.upload_id) throw new Refused(410, "removed");
    const tokens = await read(queue, row);
    const fresh = (tokens.renew_at ?? 0) > Date.now() && tokens.upload !== bad;
    if (fresh && tokens.upload) return tokens.upload;
    const opened = await renewed(queue, row, tokens);
    const sealed = await queue.sealFor(id, "tokens", kept(opened));
    await queue.change(id, () => ({ tokens: sealed }));
    return opened.upload_token;
  });
}

/** Ask something of the upload: once more with a new token where the gateway doesn't take the one that we thought good. */
export async function asUpload<T>(queue: Queue, id: string, act: (bearer: string) => Promise<T>): Promise<T> {
  const bearer = await uploadToken(queue, id);
  try {
    return await act(bearer);
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    return act(await uploadToken(queue, id, bearer));
  }
}

/** By the refresh token; if that is over, as the account that owns the upload. */
async function renewed(queue: Queue, row: StudyRow, tokens: Tokens): Promise<Opened> {
  const path = `/upload/${row.upload_id}/token`;
  try {
    return await json<Opened>(path, { method: "POST", bearer: tokens.refresh ?? "-" });
  } catch (error) {
    if (!(error instanceof Refused) || (error.status !== 401 && error.status !== 410)) throw error;
    await askWith(`/upload/${row.upload_id}/status`, tokens.upload);
    if (error.status === 410 || row.subject.startsWith("qr:")) throw error;
    return asAccount(queue, (bearer) => json<Opened>(path, { method: "POST", bearer }), row.subject);
  }
}

async function read(queue: Queue, row: StudyRow): Promise<Tokens> {
  return row.tokens ? queue.openFor<Tokens>(row.id, "tokens", row.tokens) : {};
}

function kept(opened: Opened): Tokens {
  return {
    upload: opened.upload_token,
    renew_at: Date.now() + opened.expires_in * 1000 - Math.min(EARLY_MS, opened.expires_in * 1000 * EARLY_SHARE),
    refresh: opened.refresh_token,
  };
}
