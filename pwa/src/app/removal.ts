/** "Remove everything from this device": without a line too, with workers running, and in every tab. */
import { signal } from "@preact/signals";

/** Nothing is here any more: the screens say that and nothing else. */
export const removed = signal(false);

const ends: (() => void)[] = [];

/** What must stop before: it may not write any more. */
export function beforeRemoval(end: () => void): void {
  ends.push(end);
}

/** This tab has no business any more. */
export function leave(): void {
  removed.value = true;
  for (const end of ends.splice(0)) end();
}
