/** Calls to the gateway: JSON in and out, refusals as `Refused`, a dead line as status 0. Knows no queue. */
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
  method?: "GET" | "POST" | "DELETE";
  bearer?: string;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

const ANSWER_WITHIN_MS = 45_000;

export async function request(path: string, call: Call = {}): Promise<Response> {
  const headers = new Headers(call.headers);
  if (call.bearer) headers.set("Authorization", `Bearer ${call.bearer}`);
  if (call.body !== undefined) headers.set("Content-Type", "application/json");
  const patience = AbortSignal.timeout(ANSWER_WITHIN_MS);
  let response: Response;
  try {
    response = await fetch(path, {
      method: call.method ?? "GET",
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal ? AbortSignal.any([call.signal, patience]) : patience,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
    });
  } catch (error) {
    if (call.signal?.aborted) throw error;
    throw new Refused(0, "offline");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

export async function json<T>(path: string, call: Call = {}): Promise<T> {
  const response = await request(path, call);
  try {
    return (await response.json()) as T;
  } catch {
    throw new Refused(0, "offline"); // cut in the middle, or a portal's page in place of the gateway
  }
}

async function refusal(response: Response): Promise<Refused> {
  const body = (await response.json().catch(() => ({}))) as Record<string, unknown>;
  const code = typeof body["code"] === "string" ? body["code"] : `http_${response.status}`;
  return new Refused(response.status, code, body, Number(response.headers.get("Retry-After") ?? 0) * 1000);
}

/** The gateway itself answers; `navigator.onLine` says yes behind a hotel's login page. */
export async function reachable(): Promise<boolean> {
  try {
    const answer = await json<{ status?: string }>("/healthz", { signal: AbortSignal.timeout(5_000) });
    return answer.status === "alive";
  } catch {
    return false;
  }
}
