/** How many files are on their way at once. */
import { MOST_HELD } from "./connections";

export interface Lanes {
  /** Just now. */
  readonly atOnce: number;
  /** So many bytes more have left. */
  moved(bytes: number): void;
  /** A file was refused. @param status of the answer */
  refused(status: number): void;
  /**
   * Learns while files are on their way.
   * @param busy how many are just now
   * @param then what to do after each look
   * @returns ends it
   */
  watch(busy: () => number, then: () => void): () => void;
}

/** As many as there can be, where nobody is told what leaves. */
export const STEADY: Lanes = {
  atOnce: MOST_HELD,
  moved: () => undefined,
  refused: () => undefined,
  watch: () => () => undefined,
};
