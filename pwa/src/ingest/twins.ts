/** One instance picked twice, as CDs have them: it goes once, and that is said. */
import type { Left, Looked } from "./group";
import type { Source } from "./source";

const PIECE = 1 << 20;

/** Same SOP Instance UID and the same bytes. Another content under one UID stays: that is for people to decide. */
export async function withoutTwins(
  all: readonly Looked[],
  sources: readonly Source[],
): Promise<{ looked: Looked[]; twins: Left[] }> {
  const known = new Map<string, Looked[]>();
  const looked: Looked[] = [];
  const twins: Left[] = [];
  for (const one of all) {
    const key = `${one.header.sopUid}|${one.size}`;
    const alike = known.get(key) ?? [];
    const source = sources[one.index];
    const twin = source && (await firstWith(alike, (other) => same(source, sources[other.index])));
    if (twin) twins.push({ name: source.name, why: "duplicate" });
    else {
      looked.push(one);
      known.set(key, [...alike, one]);
    }
  }
  return { looked, twins };
}

async function firstWith<T>(all: readonly T[], is: (one: T) => Promise<boolean>): Promise<T | undefined> {
  for (const one of all) if (await is(one)) return one;
  return undefined;
}

/** Piece by piece; what can't be read is like nothing. */
async function same(one: Source, other: Source | undefined): Promise<boolean> {
  if (!other || one.size !== other.size) return false;
  const [a, b] = [one.pieces(PIECE), other.pieces(PIECE)];
  try {
    for (;;) {
      const [left, right] = await Promise.all([a.next(), b.next()]);
      if (left.done || right.done) return left.done === right.done;
      if (!equal(left.value, right.value)) return false;
    }
  } catch {
    return false;
  } finally {
    await Promise.all([a.return(), b.return()]);
  }
}

function equal(a: ArrayBuffer, b: ArrayBuffer): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const words = a.byteLength >> 2;
  const [left, right] = [new Uint32Array(a, 0, words), new Uint32Array(b, 0, words)];
  for (let at = 0; at < words; at += 1) if (left[at] !== right[at]) return false;
  const [tail, other] = [new Uint8Array(a, words << 2), new Uint8Array(b, words << 2)];
  return tail.every((byte, at) => byte === other[at]);
}
