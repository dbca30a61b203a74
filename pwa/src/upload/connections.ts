/**
 * Connections that are held for long. A browser has six for one gateway (HTTP/1.1), for all of its tabs. Files and the event
 * stream leave one of them alone: a page that is loaded anew, and what a person asks, never waits behind a file.
 */
export const MOST_HELD = 5;

let files = 0;
let streams = 0;
let followed = 0;
/** Of those who have files to begin yet: each looks when there may be room. */
const lookers = new Set<() => void>();
/** Of those who wait for the stream, in the order in which they came. */
const waiting = new Set<() => void>();
/** What each request does that is held when the device may be on another network. */
const doubts = new Set<() => void>();

/** Looks for room for files from now on. @returns ends it */
export function lookForRoom(look: () => void): () => void {
  lookers.add(look);
  return () => {
    if (lookers.delete(look)) tellLookers();
  };
}

/** How many files more may be begun by one who looks for room and has so many on their way. */
export function roomForFiles(busy: number): number {
  const most = MOST_HELD - (followed > 0 ? 1 : 0); // one for the stream
  const share = Math.max(1, Math.floor(most / Math.max(1, lookers.size)));
  return Math.min(share - busy, most - files);
}

/** A file is on its way. @returns it isn't any more */
export function holdForFile(): () => void {
  files += 1;
  return () => {
    files -= 1;
    tellLookers();
  };
}

/** An upload is followed, and wants the stream. @returns it doesn't any more */
export function wantStream(): () => void {
  followed += 1;
  return () => {
    followed -= 1;
    tellLookers();
  };
}

/** One stream at a time. @returns ends it; null: it is taken, or there is no room, and who wants it asks */
export function holdForStream(): (() => void) | null {
  if (streams > 0 || files >= MOST_HELD) return null;
  streams += 1;
  return () => {
    streams -= 1;
    offerStream();
  };
}

/** @param turn what to do when the stream is free, before all who came later @returns it isn't waited for any more */
export function waitForStream(turn: () => void): () => void {
  waiting.add(turn);
  return () => void waiting.delete(turn);
}

/** To the first who waits: what is delivered one after the other is told one after the other. */
export function offerStream(): void {
  const [first] = waiting;
  if (streams === 0) first?.();
}

/** @param doubt what to do when the device may be on another network @returns it has ended */
export function whenDoubted(doubt: () => void): () => void {
  doubts.add(doubt);
  return () => void doubts.delete(doubt);
}

/** The device may be on another network, where nothing goes on of what was begun: what doesn't move soon is given up. */
export function doubtConnections(): void {
  for (const doubt of doubts) doubt();
}

function tellLookers(): void {
  for (const look of [...lookers]) look();
}
