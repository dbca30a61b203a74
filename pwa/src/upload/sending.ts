/**
 * The files of a study on their way: several at once, each from wherever the gateway has it. While one is on the line the
 * next is read, and those before it are written down.
 */
import type { Queue } from "../queue/db";
import type { FileRow } from "../queue/rows";
import { Refused } from "./api";
import { Ahead, type ByteSource, Missing } from "./bytes";
import type { Carry } from "./carry";
import { holdForFile, lookForRoom, MOST_HELD, roomForFiles } from "./connections";
import { sleep } from "./follow";
import type { Lanes } from "./lanes";
import { Marks, MOST_UNWRITTEN } from "./marks";
import * as rules from "./rules";
import { sendFile } from "./tus";

const TRIES_PER_FILE = 4;
/** A larger file is read when it is its turn. */
const MOST_AHEAD_BYTES = 1 << 20;
/** So many of the first files may have been sent by somebody who could not write it down any more. */
export const UNCERTAIN = MOST_UNWRITTEN + MOST_HELD;

/** What the engine gives to a study's files. */
export interface Way {
  queue: Queue;
  bytes: ByteSource;
  creation: string;
  /** @param bad a token that was just refused */
  token: (bad?: string) => Promise<string>;
  /** The line's speed changes it, and the limits of what stands before the gateway. */
  pace: rules.Pace;
  carry: Carry;
  lanes: Lanes;
  /** Files that may be at the gateway though they aren't marked as sent. */
  asked: Set<string>;
  /** The gateway has acknowledged so much of a file. */
  onOffset: (file: string, offset: number) => void;
}

export class Sending {
  private readonly tried = new Map<string, number>();
  private readonly marks: Marks;
  private readonly ahead: Ahead;

  constructor(private readonly way: Way) {
    this.marks = new Marks(way.queue, (file) => way.asked.delete(file));
    this.ahead = new Ahead(way.bytes);
  }

  /**
   * Each of the files once. What ends the study ends all of them; after a trouble that passes the others finish.
   * @param leave begin nothing more, and leave what is under way at the end of its piece
   * @throws Refused; Missing, where the device has lost bytes; AbortError
   */
  async pass(files: readonly FileRow[], outer: AbortSignal, leave: AbortSignal): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([outer, over.signal]);
    const troubles: unknown[] = [];
    const send = async (file: FileRow): Promise<void> => {
      try {
        if (await this.sendOne(file, signal, leave)) await this.marks.sent(file.id);
      } catch (error) {
        troubles.push(error);
        if (!(error instanceof Refused) || rules.isFinal(error.status, error.code)) over.abort();
      }
    };
    const ends = AbortSignal.any([signal, leave]);
    await this.severalOf(files, send, () => (ends.aborted ? 0 : this.way.lanes.atOnce - troubles.length), ends);
    await this.marks.end().catch((error: unknown) => troubles.push(error));
    this.ahead.forget();
    const worst = troubles.find((one) => one instanceof Refused && rules.isFinal(one.status, one.code));
    if (troubles.length > 0) throw worst ?? troubles[0];
  }

  /**
   * One after the other, several at once.
   * @param most how many may be on their way just now; at 0 none more is begun
   * @param changed most may be another number
   */
  private severalOf(
    files: readonly FileRow[],
    send: (file: FileRow) => Promise<void>,
    most: () => number,
    changed: AbortSignal,
  ): Promise<void> {
    let next = 0;
    let busy = 0;
    return new Promise<void>((done) => {
      const look = (): void => {
        for (let file = files[next]; file && busy < most() && roomForFiles(busy) > 0; file = files[next]) {
          next += 1;
          busy += 1;
          this.readAhead(files[next + most() - 1]);
          const end = holdForFile();
          void send(file).finally(() => {
            busy -= 1;
            end();
            look();
          });
        }
        if (next < files.length && most() > 0) return;
        unlook();
        if (busy > 0) return;
        unwatch();
        done();
      };
      const unlook = lookForRoom(look);
      const unwatch = this.way.lanes.watch(() => busy, look);
      changed.addEventListener("abort", look, { once: true });
      look();
    });
  }

  private readAhead(file: FileRow | undefined): void {
    if (!file?.size || this.way.asked.has(file.id)) return;
    if (file.size <= Math.min(this.way.pace.chunk, MOST_AHEAD_BYTES)) this.ahead.begin(file);
  }

  /** @returns false: it isn't at the gateway yet, or can't be read, and is looked at again */
  private async sendOne(file: FileRow, signal: AbortSignal, leave: AbortSignal): Promise<boolean> {
    const { way } = this;
    let used = "";
    try {
      const sent = await sendFile(file, {
        queue: way.queue,
        bytes: this.ahead,
        creation: way.creation,
        token: async () => (used = await way.token()),
        pace: way.pace,
        carry: way.carry,
        moved: (bytes) => way.lanes.moved(bytes),
        asked: way.asked.has(file.id),
        signal,
        leave,
        onOffset: (offset) => way.onOffset(file.id, offset),
      });
      way.asked.add(file.id);
      if (sent) way.onOffset(file.id, file.size);
      return sent;
    } catch (error) {
      if (error instanceof Missing) await this.missing(file, error);
      else await this.refused(file, error, used, signal);
      return false;
    }
  }

  private async missing(file: FileRow, error: Missing): Promise<void> {
    await this.way.queue.changeFiles([file.id], { state: "picked", problem: error.problem });
    if (error.problem === "lost_here") throw error; // of a picked file that can't be read the others are sent first
  }

  private async refused(file: FileRow, error: unknown, used: string, signal: AbortSignal): Promise<void> {
    const { way } = this;
    way.asked.add(file.id);
    if (!(error instanceof Refused)) throw error;
    way.lanes.refused(error.status);
    const tries = (this.tried.get(file.id) ?? 0) + 1;
    this.tried.set(file.id, tries);
    if (rules.concernsAll(error.status) || tries >= TRIES_PER_FILE) throw error;
    const verdict = rules.judge(error.status, error.code);
    if (verdict === "renew" || verdict === "wipe") await way.token(used);
    else if (error.status === 404) await way.queue.changeFiles([file.id], { url: null, offset: 0 });
    else if (verdict === "again") await sleep(error.retryAfterMs || rules.backoff(tries, Math.random()), signal);
    else throw error;
  }
}
