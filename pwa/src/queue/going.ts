/**
 * Before a page goes nothing new is begun in its database, by itself or its workers. WebKit forgets to end what they had
 * begun there, and then nobody gets at those stores until the browser ends: a page that is loaded anew stays without them.
 */

/** So long at most, for a page may stay after all. What was begun has ended long before. */
const HOLD_MS = 2_000;

let held: Promise<void> | null = null;

/** The page may go in a moment. */
export function holdStores(): void {
  held ??= new Promise((done) =>
    setTimeout(() => {
      held = null;
      done();
    }, HOLD_MS),
  );
}

/** When something may be begun. */
export async function storesFree(): Promise<void> {
  while (held) await held;
}
