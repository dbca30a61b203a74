/**
 * How a large file is parted, so that it goes over several connections at once (tus Concatenation): one carries only what its
 * losses allow. Pure.
 */

/** A smaller file isn't: it is little for one request. */
const LEAST_PARTED = 256 << 10;
/** A smaller part would be over before its connection has come up to speed. */
const LEAST_PART = 128 << 10;
/** Of what is left of the study a part is a sixth at most: at the end no connection is left alone with much. */
const SHARES = 6;
/** The addresses of all of them have to fit into one header. */
const MOST_PARTS = 64;

/**
 * Where each part of a file ends; one alone: it goes whole.
 * @param left bytes of the study that aren't sent, from this file on
 */
export function endsOf(size: number, left: number): number[] {
  if (size < LEAST_PARTED) return [size];
  const ends: number[] = [];
  for (let at = 0; at < size; ) {
    const part = Math.max(LEAST_PART, Math.ceil((left - at) / SHARES), Math.ceil(size / MOST_PARTS));
    at = size - at - part < LEAST_PART ? size : at + part;
    ends.push(at);
  }
  return ends;
}
