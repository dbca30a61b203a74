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

/** A request that is looked at while it is under way. */
export interface Watched {
  /** Whether that tells something: over a connection that it shares with others it doesn't. */
  readonly tells: boolean;
  /** So many bytes more have left. */
  moved(bytes: number): void;
  answered(): void;
  /** It has ended, however. */
  over(): void;
}

/** The line is there, and its connection isn't: over a new one the request may go at once. */
export const GIVEN_UP = "GivenUpError";

/** @throws `AbortError`, `TimeoutError`, `NetworkError`, `GIVEN_UP` */
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
