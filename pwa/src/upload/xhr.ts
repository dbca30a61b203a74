/**
 * Requests that bring bytes, by `XMLHttpRequest`: it tells that they go, which `fetch` doesn't. One that stands still is given
 * up early, one whose bytes move never.
 */
import { type CarriedAnswer, type Carry, GIVEN_UP } from "./carry";
import { whenDoubted } from "./connections";
import { DOUBTED_MS, patience } from "./rules";
import { watched } from "./watching";

export const byXhr: Carry = ({ method, url, headers, body, signal, moved }, pace) => {
  const size = body?.byteLength ?? 0;
  const xhr = new XMLHttpRequest();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let left = 0;
  return new Promise<CarriedAnswer>((done, failed) => {
    const fail = (name: string): void => {
      failed(new DOMException(`${method}: ${name}`, name));
      xhr.abort();
    };
    const wait = (ms: number): void => {
      clearTimeout(timer);
      timer = setTimeout(() => fail("TimeoutError"), ms);
    };
    const stop = (): void => fail("AbortError");
    const doubt = (): void => {
      if (left < size) wait(DOUBTED_MS);
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop);
    const undoubted = whenDoubted(doubt);
    const watch = watched(size, () => fail(GIVEN_UP));
    xhr.upload.onprogress = ({ loaded }) => {
      moved(loaded - left);
      watch.moved(loaded - left);
      left = loaded;
      wait(patience(pace, size, left >= size, watch.tells));
    };
    xhr.onerror = () => fail("NetworkError");
    xhr.onload = () => {
      watch.answered();
      // Whatever led elsewhere is no gateway.
      if (xhr.responseURL !== new URL(url, self.location.href).href) return fail("NetworkError");
      done({ status: xhr.status, header: (name) => xhr.getResponseHeader(name) ?? undefined, text: xhr.responseText });
    };
    xhr.onloadend = () => {
      clearTimeout(timer);
      undoubted();
      watch.over();
      signal.removeEventListener("abort", stop);
    };
    xhr.open(method, url);
    for (const [name, value] of headers) xhr.setRequestHeader(name, value);
    xhr.send(body);
    wait(patience(pace, size, size === 0, watch.tells));
  });
};
