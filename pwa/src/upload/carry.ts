/**
 * One request that brings bytes. `XMLHttpRequest` tells that they go, which `fetch` doesn't: one that stands still is given
 * up early, one whose bytes move never. A service worker has `fetch` only, and more patience.
 */
import { type Pace, patience } from "./rules";

export interface Carriage {
  method: string;
  url: string;
  headers: ReadonlyMap<string, string>;
  body: Uint8Array<ArrayBuffer> | null;
  signal: AbortSignal;
}

export interface CarriedAnswer {
  status: number;
  header: (name: string) => string | undefined;
  text: string;
}

const FETCH_SILENT_MS = 60_000;

/** @throws `AbortError`, `TimeoutError`, `NetworkError` */
export function carry(asked: Carriage, pace: Pace): Promise<CarriedAnswer> {
  return "XMLHttpRequest" in self ? byXhr(asked, pace) : byFetch(asked);
}

async function byFetch({ method, url, headers, body, signal }: Carriage): Promise<CarriedAnswer> {
  const response = await fetch(url, {
    method,
    headers: [...headers],
    body,
    signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_SILENT_MS)]),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  const text = await response.text();
  return { status: response.status, header: (name) => response.headers.get(name) ?? undefined, text };
}

function byXhr({ method, url, headers, body, signal }: Carriage, pace: Pace): Promise<CarriedAnswer> {
  const size = body?.byteLength ?? 0;
  const xhr = new XMLHttpRequest();
  let timer: ReturnType<typeof setTimeout> | undefined;
  return new Promise<CarriedAnswer>((done, failed) => {
    const fail = (name: string): void => {
      failed(new DOMException(`${method}: ${name}`, name));
      xhr.abort();
    };
    const wait = (gone: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => fail("TimeoutError"), patience(pace, size, gone >= size));
    };
    const stop = (): void => fail("AbortError");
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop);
    xhr.upload.onprogress = ({ loaded }) => wait(loaded);
    xhr.onerror = () => fail("NetworkError");
    xhr.onload = () => {
      // Whatever led elsewhere is no gateway.
      if (xhr.responseURL !== new URL(url, self.location.href).href) return fail("NetworkError");
      done({ status: xhr.status, header: (name) => xhr.getResponseHeader(name) ?? undefined, text: xhr.responseText });
    };
    xhr.onloadend = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    };
    xhr.open(method, url);
    for (const [name, value] of headers) xhr.setRequestHeader(name, value);
    xhr.send(body);
    wait(0);
  });
}
