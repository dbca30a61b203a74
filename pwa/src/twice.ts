/** Parts of the app that are fetched when somebody needs them: a line that broke for a moment takes none of them away. */
const AGAIN_AFTER_MS = 700;
const WITHIN_MS = 20_000;

/** A part of the app didn't come, twice. */
export class NotFetched extends Error {
  override name = "NotFetched";
}

/**
 * Once more, a moment later, where it didn't come.
 *
 * Chromium and WebKit ask for the file again; Firefox remembers a refusal until the page is loaded anew.
 * @throws NotFetched
 */
export async function twice<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await inTime(load());
  } catch {
    await new Promise((done) => setTimeout(done, AGAIN_AFTER_MS));
    return inTime(load()).catch((cause: unknown) => {
      throw new NotFetched("", { cause });
    });
  }
}

/** A line that says nothing is no better than one that breaks; and WebKit may leave a module open that failed before. */
async function inTime<T>(coming: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<never>((_, failed) => {
    timer = setTimeout(() => failed(new DOMException("", "TimeoutError")), WITHIN_MS);
  });
  return Promise.race([coming, over]).finally(() => clearTimeout(timer));
}
