/** What is stored. Ids are random; whatever a person could be known by is sealed. Times are unix milliseconds. */
import type { Sealed } from "./seal";

/** The Web Lock of whoever has files of a study whose bytes are not in the queue: it is free when its page has gone. */
export const holds = (study: string): string => `holds:${study}`;

/** Bytes of a file per row of SegmentStore. */
export const SEGMENT_BYTES = 1 << 20;

/**
 * Where an upload is. `reading`: its bytes are being copied in (it may be sent meanwhile). `delivering`: all bytes are
 * at the gateway. `stopped`: it needs a person; `problem` says why.
 */
export type Status =
  | "reading"
  | "queued"
  | "sending"
  | "delivering"
  | "held"
  | "success"
  | "partial"
  | "failed"
  | "cancelled"
  | "stopped";

export const ENDED: ReadonlySet<Status> = new Set(["success", "partial", "failed", "cancelled"]);
export type Priority = "stat" | "urgent" | "routine";

/** Why it doesn't go on; `code` is the gateway's, or one of ours. */
export interface Problem {
  code: string;
  at: number;
  /** Of `kept_too_long`: how long the copy might lie here, and how many files the gateway had. */
  ttl_ms?: number;
  sent?: number;
  /** Of `quota_exceeded`: the key of the gateway's configuration that sets the limit. */
  limit?: string;
}

/** What a row remembers of its copy. Times are unix milliseconds. */
export interface Kept {
  /** When it was copied, by this device's clock. */
  from: number;
  /** The same by the gateway's clock, once that was seen. */
  since: number | null;
  /** When it was first found to be over its time and the gateway could be reached, by the gateway's clock. */
  late: number | null;
  /** When it was removed, by the gateway's clock. */
  dropped: number | null;
}

/** StudyStore: what goes as one upload, the studies of one patient. */
export interface StudyRow {
  id: string;
  /** Whose it is: `account:<id>` or `qr:<id>`. */
  subject: string;
  endpoint_id: string;
  priority: Priority;
  status: Status;
  paused: boolean;
  /** Its bytes are read from the files that were picked, while their page is open; files in `picked` are sent too. */
  direct: boolean;
  retry_count: number;
  next_try_at: number;
  /** Uploads that were opened for it and are over: each has an `Idempotency-Key` of its own. */
  openings?: number;
  total_files: number;
  total_bytes: number;
  created_at: number;
  changed_at: number;
  upload_id: string | null;
  tus_url: string | null;
  /** `Metadata` */
  metadata: Sealed;
  /** A text for the radiologist. */
  clinical_notes: Sealed | null;
  /** `Tokens` */
  tokens: Sealed | null;
  /** `Receipt` */
  receipt: Sealed | null;
  /** Instances by outcome, as the gateway tells them. */
  outcome: Record<string, number>;
  /** `Told` */
  told: Sealed | null;
  problem: Problem | null;
  /** How long its copy has been here. */
  kept?: Kept;
  /** When the service worker had to stop with bytes left; null: somebody has gone on. */
  slept_at?: number | null;
}

/** Sealed in StudyRow.metadata. */
export interface Metadata {
  patient: { name: string | null; patientId: string; birthDate: string };
  /** `images`: of a row that was written before they were counted, as many as files. */
  studies: { date: string; description: string; modalities: string[]; files: number; images?: number }[];
  declared: Record<string, string>;
  uploader: { name?: string; organisation?: string; phone?: string };
  to: { display_name: string; contact: string };
}

export function imagesOf({ studies }: Metadata): number {
  return studies.reduce((sum, { files, images }) => sum + (images ?? files), 0);
}

/** Sealed in StudyRow.tokens. `qr`: until the upload is opened by it. */
export interface Tokens {
  qr?: string;
  upload?: string;
  renew_at?: number;
  refresh?: string;
}

/** Sealed in StudyRow.told: what the gateway says of the upload as a whole. An administrator's words may name somebody. */
export interface Told {
  held: string[];
  warnings: { code: string; message: string; file_id?: string; reason?: string }[];
}

/** Sealed in StudyRow.receipt: the signed proof and what it says in short. */
export interface Receipt {
  jws: string;
  id: string;
  at: string;
  verification: string;
}

/** `picked`: named, bytes not copied. `stored`: bytes are here. `sent`: the gateway has them all. `skipped`: left out by a person. */
export type FileState = "picked" | "stored" | "sent" | "skipped";

/** FileStore: metadata only; the handle to the bytes is (id, 0..segments-1) in SegmentStore. */
export interface FileRow {
  id: string;
  study_id: string;
  size: number;
  segments: number;
  state: FileState;
  /** The last offset that the gateway told; a hint for the bar, never more. */
  offset: number;
  url: string | null;
  /** How it is parted, once a byte of it has gone or may have; none: it goes as a whole. */
  parts?: readonly PartRow[] | null;
  /** `{ name, sopUid }` */
  named: Sealed;
  problem: string | null;
  /** What became of it, where it isn't just stored. */
  outcome: FileOutcome | null;
}

/** A part of a file that goes as several. */
export interface PartRow {
  /** Of the file. */
  end: number;
  /** Where the gateway has it, once it has arrived. */
  url: string | null;
}

/** The gateway's words: a state of its own, its code, and the PACS's reason. */
export interface FileOutcome {
  state: string;
  code: string;
  reason: string;
}

export interface FileName {
  name: string;
  sopUid: string;
}

/** ChunkStore: what the gateway acknowledged of a file that takes several requests. */
export interface ChunkRow {
  file_id: string;
  chunk_index: number;
  uploaded: number;
}
