/**
 * Small requests by `XMLHttpRequest`, as the bodies of files go: a browser takes connections of its own for a `fetch` without
 * credentials, and those that a change of networks has killed would be found out twice, one by one.
 */

/** A request as `fetch` takes it. */
export interface Asked {
  method: string;
  headers: Headers;
  body: string | null;
  signal: AbortSignal;
}

/** @throws DOMException: no answer, or one of somebody to whom this was led */
export function askByXhr(url: string, { method, headers, body, signal }: Asked): Promise<Response> {
  const xhr = new XMLHttpRequest();
  const stop = (): void => xhr.abort();
  return new Promise<Response>((done, failed) => {
    xhr.onload = () => {
      // Whatever led elsewhere is no gateway.
      if (xhr.responseURL === new URL(url, self.location.href).href) done(answerOf(xhr));
    };
    xhr.onloadend = () => {
      signal.removeEventListener("abort", stop);
      failed(new DOMException(`${method}: no answer`, "NetworkError"));
    };
    signal.addEventListener("abort", stop);
    xhr.open(method, url);
    for (const [name, value] of headers) xhr.setRequestHeader(name, value);
    xhr.send(body);
    if (signal.aborted) stop();
  });
}

function answerOf(xhr: XMLHttpRequest): Response {
  const headers = xhr.getAllResponseHeaders().trim().split("\r\n");
  return new Response(xhr.responseText || null, {
    status: xhr.status,
    headers: headers.filter(Boolean).map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at), line.slice(at + 1).trim()];
    }),
  });
}
