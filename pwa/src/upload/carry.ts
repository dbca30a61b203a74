/** One request that brings bytes, as its host can make it: a service worker has `fetch` only. */
import type { Pace } from "./rules";

export interface Carriage {
  method: string;
  url: string;
  headers: ReadonlyMap<string, string>;
  body: Uint8Array<ArrayBuffer> | null;
  signal: AbortSignal;
  /** So many bytes more of it have left. `fetch` doesn't tell. */
  moved: (bytes: number) => void;
}

export interface CarriedAnswer {
  status: number;
  header: (name: string) => string | undefined;
  text: string;
}

/** @throws `AbortError`, `TimeoutError`, `NetworkError` */
export type Carry = (asked: Carriage, pace: Pace) => Promise<CarriedAnswer>;

/** It isn't told whether bytes go, and has patience. */
const SILENT_MS = 60_000;

export const byFetch: Carry = async ({ method, url, headers, body, signal }) => {
  const response = await fetch(url, {
    method,
    headers: [...headers],
    body,
    signal: AbortSignal.any([signal, AbortSignal.timeout(SILENT_MS)]),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  const text = await response.text();
  return { status: response.status, header: (name) => response.headers.get(name) ?? undefined, text };
};
