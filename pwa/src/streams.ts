/** What comes out of a stream, piece by piece: not every browser lets a stream be iterated. Left early, it is cancelled. */
export async function* piecesOf<T>(stream: ReadableStream<T>): AsyncGenerator<T, void, undefined> {
  const reader = stream.getReader();
  let done = false;
  try {
    for (;;) {
      const next = await reader.read();
      done = next.done;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // What broke is told by the reading; what is left is of no use to anybody.
    if (!done) await reader.cancel().catch(() => null);
    reader.releaseLock();
  }
}
