/** Calls to the gateway: JSON in and out, refusals as `Refused`, a dead line as status 0. Knows no queue. */
import type { Watched } from "./carry";
import { hear } from "./clock";
import { at } from "./place";
import type { Asked } from "./small";

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly body: Readonly<Record<string, unknown>> = {},
    readonly retryAfterMs = 0,
  ) {
    super(code);
  }
}

export interface Call {
  method?: "GET" | "POST" | "DELETE" | "OPTIONS";
  bearer?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** The same once more does no harm: it goes again at once where its connection is dead. A GET always does. */
  repeats?: boolean;
  /** Its answer may take long. */
  slow?: boolean;
}

const ANSWER_WITHIN_MS = 45_000;
/** As many as a browser may have dead connections, and one; the last one has all the time. */
const TRIES_AT_ONCE = 7;

type Watch = (size: number, giveUp: () => void, slow?: boolean) => Watched;
type Go = (url: string, asked: Asked) => Promise<Response>;

const byFetch: Go = (url, asked) => fetch(url, { ...asked, cache: "no-store", credentials: "omit", redirect: "error" });

let go = byFetch;
let watch: Watch | null = null;

/** From now on calls go over the connections of those who bring files, and are looked at while they are under way. */
export function callBeside(way: Go, by: Watch): void {
  go = way;
  watch = by;
}

export async function request(path: string, call: Call = {}): Promise<Response> {
  const { method = "GET", repeats = method === "GET" } = call;
  for (let tries = watch && repeats ? TRIES_AT_ONCE : 1; tries > 1; tries -= 1) {
    const response = await requestWatched(path, call);
    if (response) return response;
  }
  return requestOnce(path, call);
}

/** @returns null: its connection is dead */
async function requestWatched(path: string, call: Call): Promise<Response | null> {
  const own = new AbortController();
  const watched = watch?.(0, () => own.abort(), call.slow);
  const signal = call.signal ? AbortSignal.any([call.signal, own.signal]) : own.signal;
  try {
    const response = await requestOnce(path, { ...call, signal });
    watched?.answered();
    return response;
  } catch (error) {
    if (error instanceof Refused && error.status > 0) watched?.answered();
    if (own.signal.aborted && !call.signal?.aborted) return null;
    throw error;
  } finally {
    watched?.over();
  }
}

async function requestOnce(path: string, call: Call): Promise<Response> {
  const headers = new Headers(call.headers);
  if (call.bearer) headers.set("Authorization", `Bearer ${call.bearer}`);
  if (call.body !== undefined) headers.set("Content-Type", "application/json");
  const patience = AbortSignal.timeout(ANSWER_WITHIN_MS);
  let response: Response;
  try {
    response = await go(at(path), {
      method: call.method ?? "GET",
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal ? AbortSignal.any([call.signal, patience]) : patience,
    });
  } catch (error) {
    if (call.signal?.aborted) throw error;
    throw new Refused(0, "offline");
  }
  if (response.ok) return response;
  throw refusal(response.status, await response.text().catch(() => ""), response.headers.get("Retry-After"));
}

export async function json<T>(path: string, call: Call = {}): Promise<T> {
  const response = await request(path, call);
  try {
    const told = (await response.json()) as T;
    hear(response);
    return told;
  } catch {
    throw new Refused(0, "offline"); // cut in the middle, or a portal's page in place of the gateway
  }
}

/** What an answer says that isn't a good one: the gateway's problem document, or whatever stands in front of it. */
export function refusal(status: number, text: string, retryAfter: string | null | undefined): Refused {
  let body: Record<string, unknown> = {};
  try {
    body = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    // A proxy's page: the status has to do.
  }
  const code = typeof body.code === "string" ? body.code : `http_${status}`;
  return new Refused(status, code, body, (Number(retryAfter) || 0) * 1000);
}

/** The gateway itself answers; `navigator.onLine` says yes behind a hotel's login page. */
export async function reachable(): Promise<boolean> {
  try {
    const answer = await json<{ status?: string }>("/healthz", { signal: AbortSignal.timeout(4_000), repeats: false });
    return answer.status === "alive";
  } catch {
    return false;
  }
}
