/** What issuers and admins ask the gateway; refusals as sentences. */
import { type Call, json, Refused, request } from "../../upload/api";
import { accessToken } from "../../upload/session";
import { moment } from "../i18n";
import { go, session, theQueue } from "../state";
import type { DeskKey } from "./en";
import { t } from "./words";

export interface QrCode {
  qr_id: string;
  endpoint_id: string;
  state: "open" | "used" | "expired" | "revoked";
  label: string;
  created_at: string;
  expires_at: string;
  upload_id: string | null;
}

export interface NewCode {
  qr_id: string;
  endpoint_id: string;
  expires_at: string;
  url: string;
}

export type UploadState =
  | "open"
  | "uploading"
  | "delivering"
  | "held"
  | "success"
  | "partial"
  | "failed"
  | "cancelled"
  | "expired";

export interface Upload {
  upload_id: string;
  endpoint_id: string;
  state: UploadState;
  held_reasons: string[];
  files: { expected: number; whole: number };
  bytes: { expected: number; received: number };
  warnings: string[];
  pacs_receipt_id: string | null;
  delivery: { attempts: number; last_code: string | null; due_at: string } | null;
  created_at: string;
  expires_at: string;
  finished_at: string | null;
  erased_at: string | null;
  file_states?: Record<string, number>;
}

export interface Whose {
  study_metadata: Record<string, string>;
  /** Whom the QR code was made for. */
  expected: Record<string, string>;
  uploader: Record<string, string>;
  clinical_notes: string;
  patients: Record<string, string>[];
  files_read: number;
}

export interface Health {
  endpoint_id: string;
  condition: "up" | "down" | "misconfigured";
  code: string | null;
  queued_jobs: number;
}

/** As whoever is signed in. @throws Refused */
export async function ask<T>(path: string, call: Call = {}): Promise<T> {
  return json<T>(path, { ...call, bearer: await accessToken(theQueue()) });
}

/** The same, where nothing comes back. */
export async function tell(path: string, call: Call): Promise<void> {
  await request(path, { ...call, bearer: await accessToken(theQueue()) });
}

const PAGE = 500;
const MOST = 2000;

/** Newest first, as far as so many are there: the gateway's pages are in no order of time. */
export async function all<Row extends { created_at: string }>(
  path: string,
  name: string,
): Promise<{ rows: Row[]; more: boolean }> {
  const rows: Row[] = [];
  let cursor: string | null = "";
  while (cursor !== null && rows.length < MOST) {
    const page: Record<string, unknown> = await ask(
      `${path}${path.includes("?") ? "&" : "?"}limit=${PAGE}&cursor=${cursor}`,
    );
    rows.push(...(page[name] as Row[]));
    cursor = page.cursor as string | null;
  }
  return { rows: rows.sort((a, b) => b.created_at.localeCompare(a.created_at)), more: cursor !== null };
}

/** Why it didn't work, for the one who asked. A session that is over leads to the sign-in. */
export function sentence(error: unknown, gone: DeskKey = "desk.over"): string {
  if (!(error instanceof Refused) || error.status === 0) return t("desk.reload");
  if (error.status === 401) {
    session.value = null;
    go({ at: "signin" });
  }
  if (error.status === 403) return t("desk.forbidden");
  if (error.status === 410) return t(gone);
  if (error.status === 409) return t("desk.moved");
  if (error.code === "quota_exceeded") return t("desk.quota", { time: moment(Date.now() + error.retryAfterMs) });
  if (error.body.field === "ttl_seconds") return t("qr.toolong");
  return t("desk.refused", { code: error.code });
}
