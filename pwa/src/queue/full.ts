/** A device that is full. */

const TIMES = 6;
const FIRST_MS = 250;

export function isFull(error: unknown): boolean {
  return error instanceof DOMException && error.name === "QuotaExceededError";
}

/**
 * A write of a few bytes, again until there is room for it: a browser gives room back some time after something was
 * deleted.
 */
export async function insist<T>(write: () => Promise<T>): Promise<T> {
  for (let time = 0; ; time += 1) {
    try {
      return await write();
    } catch (error) {
      if (!isFull(error) || time >= TIMES) throw error;
      await new Promise((done) => setTimeout(done, FIRST_MS << time));
    }
  }
}
