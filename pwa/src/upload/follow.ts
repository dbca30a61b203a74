/** What becomes of an upload at the gateway: told by its event stream, else asked for. */
import type { Queue } from "../queue/db";
import type { FileOutcome, Told } from "../queue/rows";
import { piecesOf } from "../streams";
import { json, Refused } from "./api";
import { holdForStream, offerStream, waitForStream, wantStream, whenDoubted } from "./connections";
import { at } from "./place";
import { asUpload, uploadToken } from "./tokens";

export interface GatewayStatus {
  upload_id: string;
  state: string;
  uploaded_bytes: number;
  total_bytes: number;
  files: Record<string, number>;
  pacs_receipt_id: string | null;
  warnings: Told["warnings"];
  held_reasons?: string[];
}

interface FilesPage {
  files: { file_id: string; state: string; code?: string; reason?: string }[];
  cursor: string | null;
}

const SLOWEST_MS = 15_000;
/** A stream says every 15 s that it is there. */
const STREAM_SILENT_MS = 40_000;
/** One that has told nothing for so long is doubted: its connection may be dead. */
const STREAM_DOUBTED_MS = 3_000;

/** Whether the gateway tells another thing than the stream has. */
type News = () => Promise<boolean>;

/** Waits so long, or until somebody wants to know, or it has its turn. @throws AbortError */
type Rest = (ms: number, turn: AbortSignal) => Promise<void>;

/** Statuses as they come; ends with the last one. @throws Refused, AbortError */
export async function* statuses(
  queue: Queue,
  id: string,
  uploadId: string,
  signal: AbortSignal,
  rest: Rest,
): AsyncGenerator<GatewayStatus> {
  let unwant: (() => void) | null = null;
  try {
    for await (const status of streamedOrAsked(queue, id, uploadId, signal, rest)) {
      if (status.state === "held") {
        unwant?.();
        unwant = null;
      } else unwant ??= wantStream();
      yield status;
    }
  } finally {
    unwant?.();
    offerStream();
  }
}

async function* streamedOrAsked(
  queue: Queue,
  id: string,
  uploadId: string,
  signal: AbortSignal,
  rest: Rest,
): AsyncGenerator<GatewayStatus> {
  let wait = 500;
  for (;;) {
    const status = await asUpload(queue, id, (bearer) =>
      json<GatewayStatus>(`/upload/${uploadId}/status`, { bearer, signal }),
    );
    yield status;
    if (["success", "partial", "failed"].includes(status.state)) return;
    let held = status.state === "held";
    try {
      let last = status;
      const news = async (): Promise<boolean> => {
        const now = await asUpload(queue, id, (bearer) =>
          json<GatewayStatus>(`/upload/${uploadId}/status`, { bearer, signal }),
        );
        return JSON.stringify(now.files) !== JSON.stringify(last.files) || now.state !== last.state;
      };
      for await (const told of held ? [] : stream(uploadId, await uploadToken(queue, id), signal, news)) {
        wait = 500;
        last = told;
        held = told.state === "held";
        yield told;
        if (["success", "partial", "failed"].includes(told.state)) return;
        if (held) break; // a person decides, maybe in days: too long for the only stream
      }
    } catch (error) {
      if (signal.aborted) throw error;
      if (error instanceof Refused && error.status !== 0 && error.status < 500 && error.status !== 401) throw error;
      // The stream is a comfort: without it the status is asked for.
    }
    const turn = new AbortController();
    const unqueue = held ? null : waitForStream(() => turn.abort());
    await rest(wait, turn.signal).finally(unqueue);
    wait = Math.min(SLOWEST_MS, wait * 2);
  }
}

/** Ends at once when others have taken the streams that there may be. */
async function* stream(
  uploadId: string,
  bearer: string,
  signal: AbortSignal,
  news: News,
): AsyncGenerator<GatewayStatus> {
  const end = holdForStream();
  if (!end) return;
  try {
    yield* events(uploadId, bearer, signal, news);
  } finally {
    end();
  }
}

/** Given up when it is silent for too long, or there is news that it hasn't told. */
async function* events(
  uploadId: string,
  bearer: string,
  signal: AbortSignal,
  news: News,
): AsyncGenerator<GatewayStatus> {
  const over = new AbortController();
  const giveUp = (): void => over.abort();
  let timer = setTimeout(giveUp, STREAM_SILENT_MS);
  let heardAt: number | null = null;
  void doubted(over.signal, () => heardAt, news).then(giveUp, () => undefined);
  const heard = (): void => {
    heardAt = performance.now();
    clearTimeout(timer);
    timer = setTimeout(giveUp, STREAM_SILENT_MS);
  };
  const undoubted = whenDoubted(giveUp);
  try {
    yield* eventsOf(uploadId, bearer, AbortSignal.any([signal, over.signal]), heard);
  } finally {
    clearTimeout(timer);
    undoubted();
    giveUp();
  }
}

/** Less and less often it is asked beside a silent stream. @returns it is dead @throws AbortError */
async function doubted(over: AbortSignal, heardAt: () => number | null, news: News): Promise<void> {
  let since = performance.now();
  for (let quiet = STREAM_DOUBTED_MS; ; quiet = Math.min(2 * quiet, STREAM_SILENT_MS)) {
    for (let left = quiet; left > 0; left = Math.max(since, heardAt() ?? 0) + quiet - performance.now())
      await sleep(left, over);
    if (heardAt() === null) return; // the first thing is told at once
    if (await news().catch(() => false)) return;
    since = performance.now();
  }
}

async function* eventsOf(
  uploadId: string,
  bearer: string,
  signal: AbortSignal,
  heard: () => void,
): AsyncGenerator<GatewayStatus> {
  const response = await fetch(at(`/upload/${uploadId}/events`), {
    headers: { Authorization: `Bearer ${bearer}`, Accept: "text/event-stream" },
    signal,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (!response.ok || !response.body) return;
  let rest = "";
  for await (const piece of piecesOf(response.body.pipeThrough(new TextDecoderStream()))) {
    heard();
    rest += piece;
    const whole = rest.split("\n\n");
    rest = whole.pop() ?? "";
    for (const event of whole) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (event.startsWith("event: gone"))
        throw new Refused(410, "upload_gone", JSON.parse(data?.slice(6) ?? "{}") as Record<string, unknown>);
      if (event.startsWith("event: status") && data) yield JSON.parse(data.slice(6)) as GatewayStatus;
    }
  }
}

/** What became of each file, by outcome; null: it is stored, and there is nothing to say. */
export async function outcomes(
  queue: Queue,
  id: string,
  uploadId: string,
): Promise<{ outcome: FileOutcome | null; ids: string[] }[]> {
  const found = new Map<string, { outcome: FileOutcome | null; ids: string[] }>();
  let cursor: string | null = "";
  while (cursor !== null) {
    const path: string = `/upload/${uploadId}/files?limit=1000&cursor=${cursor}`;
    const page: FilesPage = await asUpload(queue, id, (bearer) => json<FilesPage>(path, { bearer }));
    for (const { file_id, state, code = "", reason = "" } of page.files) {
      const outcome = state === "stored" ? null : { state, code, reason };
      const key = JSON.stringify(outcome);
      const alike = found.get(key) ?? { outcome, ids: [] };
      found.set(key, alike);
      alike.ids.push(file_id);
    }
    cursor = page.cursor;
  }
  return [...found.values()];
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((done, failed) => {
    const stop = (): void => {
      clearTimeout(timer);
      failed(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      done();
    }, ms);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
