/**
 * Connections that are held for long. A browser has six for one gateway (HTTP/1.1), for all of its tabs. Files and the event
 * stream leave one of them alone: a page that is loaded anew, and what a person asks, never waits behind a file.
 */
export const MOST_HELD = 5;

/** So many of them this worker has just now. */
let most = MOST_HELD;
let heard = (): void => undefined;
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
  heard();
  return () => {
    if (lookers.delete(look)) changed();
  };
}

/** How many files more may be begun by one who looks for room and has so many on their way. */
export function roomForFiles(busy: number): number {
  const forFiles = most - (followed > 0 ? 1 : 0); // one for the stream
  const share = Math.max(1, Math.floor(forFiles / Math.max(1, lookers.size)));
  return Math.min(share - busy, forFiles - files);
}

/** A file is on its way. @returns it isn't any more */
export function holdForFile(): () => void {
  files += 1;
  return () => {
    files -= 1;
    changed();
  };
}

/** An upload is followed, and wants the stream. @returns it doesn't any more */
export function wantStream(): () => void {
  followed += 1;
  heard();
  return () => {
    followed -= 1;
    changed();
  };
}

/** One stream at a time. @returns ends it; null: it is taken, or there is no room, and who wants it asks */
export function holdForStream(): (() => void) | null {
  if (streams > 0 || files >= most) return null;
  streams += 1;
  return () => {
    streams -= 1;
    heard();
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

/** How many this worker could use now. */
export function demand(): { files: number; stream: number } {
  return { files: lookers.size > 0 ? MOST_HELD : files, stream: streams > 0 || followed > 0 ? 1 : 0 };
}

/** How many it uses. */
export function inUse(): number {
  return files + streams;
}

/** @param hear told when it could use more or fewer */
export function whenDemanded(hear: () => void): void {
  heard = hear;
}

/** It may hold so many from now on; what is under way ends by itself. */
export function allow(count: number): void {
  const more = count > most;
  most = count;
  if (!more) return;
  tellLookers();
  offerStream();
}

function changed(): void {
  heard();
  tellLookers();
}

function tellLookers(): void {
  for (const look of [...lookers]) look();
}
