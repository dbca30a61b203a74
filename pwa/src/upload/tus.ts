/** One file over tus 1.0.0, or a part of one: tus-js-client with a stack of our own (it ships none that works in a worker). */
import type { FileSource, HttpRequest, HttpResponse, HttpStack } from "tus-js-client";
import Upload from "tus-js-client/lib/upload.js";
import type { Queue } from "../queue/db";
import { Refused, refusal, request } from "./api";
import { type ByteSource, Missing } from "./bytes";
import { type CarriedAnswer, type Carry, GIVEN_UP } from "./carry";
import type { Parcel } from "./parcels";
import { at } from "./place";
import { firstChunk, lessChunk, nextPiece, type Pace, paced, yielding } from "./rules";

const FILE_TYPE = "application/dicom";
/** It was ended so often, and the gateway had got no more of it: whatever the reason, there is a pause. */
const MOST_IN_VAIN = 4;

export interface Transfer {
  queue: Queue;
  bytes: ByteSource;
  creation: string;
  token: () => Promise<string>;
  pace: Pace;
  /** Its creation was asked for before, and no answer came: the gateway may have it, with bytes. */
  asked: boolean;
  signal: AbortSignal;
  /** Leave it at the end of a piece. */
  leave: AbortSignal;
  carry: Carry;
  /** So many bytes more have left. */
  moved: (bytes: number) => void;
  onOffset: (offset: number) => void;
}

/**
 * Send it from wherever the gateway has it.
 * @returns false: it was left at the end of a piece, or before one
 * @throws Refused, Missing, AbortError
 */
export async function sendFile(parcel: Parcel, to: Transfer): Promise<boolean> {
  const went: Went = { offset: 0, inVain: 0, known: null };
  if (to.asked) parcel.url ??= await found(parcel, to, went);
  for (;;) {
    if (to.leave.aborted) return false;
    const ended = await attempt(parcel, to, went);
    if (ended === "anew") parcel.url ??= await found(parcel, to, went);
    else if (ended !== "otherwise") return ended;
  }
}

/** What the gateway has of it, and how often in a row it was ended without having got more. */
interface Went {
  offset: number;
  inVain: number;
  /** Told just now with the address: no question more. */
  known: string | null;
}

/** What the gateway can do beside plain tus. @throws Refused: it can't be reached */
export async function extensions(creation: string): Promise<string[]> {
  try {
    const answer = await request(creation, { method: "OPTIONS", repeats: true });
    return (answer.headers.get("Tus-Extension") ?? "").split(",");
  } catch (error) {
    if (error instanceof Refused && error.status > 0 && error.status < 500) return [];
    throw error;
  }
}

/** Put together what has arrived as parts. @param urls where the gateway has them, in order @throws Refused, AbortError */
export async function joinParts(
  file: string,
  urls: readonly string[],
  to: Pick<Transfer, "creation" | "token" | "signal">,
): Promise<void> {
  await create(file, { "Upload-Concat": `final;${urls.join(" ")}` }, to, true);
}

/** @returns whether it is sent; else how it goes on: in another way than before, or over a new connection */
async function attempt(parcel: Parcel, to: Transfer, went: Went): Promise<boolean | "otherwise" | "anew"> {
  const { file, size } = parcel;
  let began = 0;
  let index = 0;
  const over = new AbortController();
  return new Promise<boolean | "otherwise" | "anew">((done, failed) => {
    const upload = new Upload(parcel as unknown as Blob, {
      ...Upload.defaultOptions,
      fingerprint: async () => "",
      endpoint: to.creation,
      uploadUrl: parcel.url,
      httpStack: new Stack(to, went, size),
      fileReader: { openFile: async () => new ParcelSource(to.bytes, parcel) },
      headers: headersOf(parcel),
      metadata: { file_id: parcel.id, filetype: FILE_TYPE },
      chunkSize: nextPiece(to.pace, size),
      overridePatchMethod: to.pace.posts,
      uploadDataDuringCreation: true,
      storeFingerprintForResuming: false,
      removeFingerprintOnSuccess: false,
      retryDelays: null,
      onBeforeRequest: async (asked) => {
        asked.setHeader("Authorization", `Bearer ${await to.token()}`);
        began = performance.now();
      },
      onUploadUrlAvailable: () => {
        parcel.url = upload.url;
        if (size > to.pace.chunk && !parcel.parted) void to.queue.changeFiles([file.id], { url: upload.url });
      },
      onChunkComplete: (bytes, accepted) => {
        to.pace.chunk = paced(to.pace, bytes, performance.now() - began);
        upload.options.chunkSize = nextPiece(to.pace, size - accepted);
        // A hint, no more.
        if (accepted < size && !parcel.parted) void to.queue.acknowledged(file, index, accepted).catch(() => undefined);
        index += 1;
        to.onOffset(accepted);
        if (!to.leave.aborted || accepted === size) return;
        void upload.abort(false);
        done(false);
      },
      onSuccess: () => done(true),
      onError: (error) => {
        const why = reason(error);
        if (goesOn(error, why, went)) {
          if (went.inVain > 1) to.pace.chunk = lessChunk(to.pace.chunk);
          parcel.url = upload.url;
          return done("anew");
        }
        if (timedOut(error)) to.pace.chunk = lessChunk(to.pace.chunk);
        else if (why instanceof Refused && why.status === 0) to.pace.chunk = firstChunk(to.pace.chunk);
        if (!yields(to.pace, error, why)) return failed(why);
        parcel.url = upload.url;
        done("otherwise");
      },
    });
    const stop = (): void => {
      void upload.abort(false);
      failed(new DOMException("stopped", "AbortError"));
    };
    if (to.signal.aborted) return stop();
    to.signal.addEventListener("abort", stop, { signal: over.signal });
    upload.start();
  }).finally(() => over.abort());
}

/** What stands before the gateway refused it, and takes it in another way. */
function yields(pace: Pace, error: Error, why: Error): boolean {
  const { originalRequest: asked } = error as { originalRequest?: HttpRequest };
  if (!(why instanceof Refused) || !(asked instanceof TusRequest)) return false;
  const next = yielding(pace, why, asked.getMethod(), asked.bytes);
  if (next) Object.assign(pace, next);
  return next !== null;
}

/** Asks for the creation once more, without bytes: the same `file_id` gives the same file, and tells what it has. */
async function found(parcel: Parcel, to: Transfer, went: Went): Promise<string> {
  const answer = await create(parcel.id, { "Upload-Length": String(parcel.size), ...headersOf(parcel) }, to, false);
  const url = new URL(answer.headers.get("Location") ?? to.creation, at("/")).href;
  went.known = answer.headers.get("Upload-Offset");
  if (!parcel.parted) await to.queue.changeFiles([parcel.id], { url });
  return url;
}

function headersOf({ parted }: Parcel): Record<string, string> {
  return parted ? { "Upload-Concat": "partial" } : {};
}

async function create(
  id: string,
  headers: Record<string, string>,
  to: Pick<Transfer, "creation" | "token" | "signal">,
  slow: boolean,
): Promise<Response> {
  return request(to.creation, {
    method: "POST",
    bearer: await to.token(),
    headers: {
      "Tus-Resumable": "1.0.0",
      "Upload-Metadata": `file_id ${btoa(id)},filetype ${btoa(FILE_TYPE)}`,
      ...headers,
    },
    signal: to.signal,
    repeats: true,
    slow,
  });
}

/** What tus-js-client has wrapped. */
function causeOf(error: Error): Error | undefined {
  return (error as { causingError?: Error }).causingError;
}

/** The line is too slow for requests of this size, or dead. */
function timedOut(error: Error): boolean {
  return causeOf(error)?.name === "TimeoutError";
}

/** Its connection was dead, and the line isn't; or what was left of an earlier request arrived, and took its place. */
function goesOn(error: Error, why: Error, went: Went): boolean {
  if (causeOf(error)?.name !== GIVEN_UP && !(why instanceof Refused && why.code === "taken_over")) return false;
  went.inVain += 1;
  return went.inVain < MOST_IN_VAIN;
}

function reason(error: Error): Error {
  const cause = causeOf(error);
  if (cause instanceof Missing || cause instanceof Refused) return cause;
  const response = (error as { originalResponse?: HttpResponse | null }).originalResponse;
  if (!response) return error instanceof Missing ? error : new Refused(0, "offline");
  return refusal(response.getStatus(), response.getBody(), response.getHeader("Retry-After"));
}

/**
 * Bytes of a request. Not a Blob: a browser may put those on the disk as they are, and what is in them is readable.
 */
class Piece {
  constructor(readonly bytes: Uint8Array<ArrayBuffer>) {}

  /** What tus-js-client asks of a body. */
  get size(): number {
    return this.bytes.byteLength;
  }
}

/** The bytes that tus-js-client asks for. */
class ParcelSource implements FileSource {
  constructor(
    private readonly bytes: ByteSource,
    private readonly parcel: Parcel,
  ) {}

  get size(): number {
    return this.parcel.size;
  }

  async slice(from: number, to: number): Promise<{ value: Piece; done: boolean }> {
    const { file, size, start } = this.parcel;
    const until = Math.min(to, size);
    return { value: new Piece(await this.bytes.read(file, start + from, start + until)), done: until >= size };
  }

  close(): void {
    // Nothing is held open.
  }
}

function asHead(offset: string, size: number): CarriedAnswer {
  return { status: 200, header: (name) => (name === "Upload-Offset" ? offset : String(size)), text: "" };
}

class Stack implements HttpStack {
  /** @param size of what goes */
  constructor(
    private readonly to: Transfer,
    private readonly went: Went,
    private readonly size: number,
  ) {}

  createRequest(method: string, url: string): HttpRequest {
    return new TusRequest(method, url, this.to, this.went, this.size);
  }

  getName(): string {
    return "ours";
  }
}

class TusRequest implements HttpRequest {
  private readonly headers = new Map<string, string>();
  private readonly own = new AbortController();
  /** Of its body. */
  bytes = 0;

  constructor(
    private readonly method: string,
    private readonly url: string,
    private readonly to: Transfer,
    private readonly went: Went,
    private readonly size: number,
  ) {}

  getMethod = (): string => this.method;
  getURL = (): string => this.url;
  setHeader = (name: string, value: string): void => void this.headers.set(name, value);
  getHeader = (name: string): string | undefined => this.headers.get(name);
  setProgressHandler = (): void => undefined; // what counts is what the gateway has
  getUnderlyingObject = (): undefined => undefined;

  async send(body: Piece | null = null): Promise<HttpResponse> {
    this.bytes = body?.size ?? 0;
    const { headers, method, url } = this;
    const { known } = this.went;
    this.went.known = null;
    const signal = AbortSignal.any([this.to.signal, this.own.signal]);
    const { carry, moved, pace } = this.to;
    const answer =
      method === "HEAD" && known !== null
        ? asHead(known, this.size)
        : await carry({ method, url, headers, body: body?.bytes ?? null, signal, moved }, pace);
    const offset = Number(answer.header("Upload-Offset") ?? 0);
    if (offset > this.went.offset) Object.assign(this.went, { offset, inVain: 0 });
    return {
      getStatus: () => answer.status,
      getHeader: answer.header,
      getBody: () => answer.text,
      getUnderlyingObject: () => answer,
    };
  }

  abort = async (): Promise<void> => this.own.abort();
}
