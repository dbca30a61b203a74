/** What the page and its ingest Worker say to each other. */
import type { Priority } from "../queue/rows";
import type { Doubt } from "./doubts";
import type { Left, Patient } from "./group";
import type { Picked } from "./look";

/** What the person decided in the review. */
export interface Order {
  patient: Patient;
  subject: string;
  endpoint_id: string;
  to: { display_name: string; contact: string };
  priority: Priority;
  uploader: { name?: string; organisation?: string; phone?: string };
  /** For the radiologist; empty: none. */
  notes: string;
  qr: string | null;
  /** Without a copy on the device: sent from the picked files while the page is open. */
  direct: boolean;
}

/** `picked`: some of the files that the next `scan` or `again` is about. `stop`: leave the looking. `port`: to the Worker that sends. `going`: the page may go in a moment. */
export type ToIngest =
  | { kind: "port"; port: MessagePort }
  | { kind: "picked"; files: Picked[] }
  | { kind: "scan" }
  | { kind: "stop" }
  | { kind: "store"; orders: Order[] }
  | { kind: "again"; study: string }
  | { kind: "direct"; studies: string[] }
  | { kind: "going" };

/**
 * `matched`: files that were picked again belong to the study, or don't; it goes on. `held`: there was no room for the
 * rest of these studies; their files are still here. `part`: a part of the app didn't come.
 */
export type FromIngest =
  | { kind: "looked"; done: number; of: number }
  | { kind: "scanned"; patients: Patient[]; left: Left[]; doubts: Doubt[] }
  | { kind: "matched"; study: string; missing: number }
  | { kind: "queued"; studies: string[] }
  | { kind: "copied"; study: string; done: number; of: number }
  | { kind: "held"; studies: string[] }
  | { kind: "failed"; code: "quota" | "part" | "failed_here" };
