/**
 * The files of a study on their way: several at once, each from wherever the gateway has it. While one is on the line the
 * next is read, and those before it are written down.
 */
import type { Queue } from "../queue/db";
import type { FileRow } from "../queue/rows";
import { Refused } from "./api";
import { Ahead, type ByteSource, Missing } from "./bytes";
import type { Carry } from "./carry";
import { MOST_HELD } from "./connections";
import { sleep } from "./follow";
import type { Lanes } from "./lanes";
import { Marks, MOST_UNWRITTEN } from "./marks";
import { type Parcel, type Parted, parcelsOf } from "./parcels";
import { endsOf } from "./parts";
import { Due, Troubles, Uncertain } from "./pass";
import * as rules from "./rules";
import { several } from "./several";
import { joinParts, sendFile, type Transfer } from "./tus";

const TRIES_PER_PARCEL = 4;
/** What the gateway says when it doesn't put parts together. */
const LACKS_PART = new Set(["not_found", "not_a_part", "file_gone"]);
/** A larger file is read when it is its turn. */
const MOST_AHEAD_BYTES = 1 << 20;
/** So many of the first may have been sent by somebody who could not write it down any more. */
const UNCERTAIN = MOST_UNWRITTEN + MOST_HELD;

/** Where the parts of a file are to end, if the gateway puts them together. */
interface Plan {
  file: FileRow;
  ends: readonly number[];
}

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
  /** Whether the gateway puts together what comes as parts. @throws Refused */
  joins: () => Promise<boolean>;
  /** Those of the study that can be sent by now: more of them, while their bytes are copied in. */
  sendable: () => Promise<FileRow[]>;
  /** What may be at the gateway though it isn't marked as sent. */
  asked: Set<string>;
  /** All bytes of the study are at the gateway, and what puts the last of them together is on its way. */
  onAllThere: () => void;
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
   * Each of the files once, and those that can be sent while these are on their way: one that hangs holds up none. What ends
   * the study ends all of them; after a trouble that passes the others finish.
   * @param left bytes of the study that aren't sent, of these and of those that are still read
   * @param resumed somebody else may have sent more of them than is written down
   * @param leave begin nothing more, and leave what is under way at the end of its piece
   * @throws Refused; Missing, where the device has lost bytes; AbortError
   */
  async pass(
    files: readonly FileRow[],
    left: number,
    resumed: boolean,
    outer: AbortSignal,
    leave: AbortSignal,
  ): Promise<void> {
    const due = new Due(files, left);
    const uncertain = new Uncertain(resumed ? UNCERTAIN : 0, this.way.asked);
    const troubles = new Troubles(outer);
    const { signal } = troubles;
    const ends = AbortSignal.any([signal, leave]);
    const settle = async ({ file }: Parcel, act: Promise<boolean>): Promise<void> => {
      await troubles.of(act.then((isWhole) => (isWhole ? this.marks.sent(file.id) : undefined)));
    };
    const joins: Promise<void>[] = []; // beside the bytes of others
    let missing = false;
    const send = async (parcel: Parcel): Promise<void> => {
      const { parted } = parcel;
      const sent = this.sendOne(parcel, signal, leave);
      await settle(parcel, parted ? sent.then(() => false) : sent);
      const isThere = await sent.catch(() => false);
      missing ||= !isThere;
      const urls = isThere ? parted?.toJoin() : null;
      if (urls) joins.push(settle(parcel, this.join(parcel, urls, signal)));
    };
    const known = async (asked: Promise<Parcel[]>): Promise<Parcel[]> => uncertain.of((await troubles.of(asked)) ?? []);
    const { first, rest } = await this.parcels(files, left);
    await several(uncertain.of(first), {
      rest: rest && known(rest),
      more: () => known(this.more(due)),
      lasts: () => due.left > 0 && troubles.count === 0,
      send,
      begun: (next) => this.readAhead(next),
      lanes: this.way.lanes,
      most: () => (ends.aborted ? 0 : this.way.lanes.atOnce - troubles.count),
      changed: ends,
    });
    const isAllThere = due.left === 0 && !missing && troubles.count === 0;
    if (joins.length > 0 && isAllThere && !ends.aborted) this.way.onAllThere();
    await Promise.all(joins);
    await troubles.of(this.marks.end());
    this.ahead.forget();
    troubles.throwWorst();
  }

  /**
   * A large file, or one of the last, as parts, so that the line isn't left to one connection.
   * @returns those that go whole anyway; and the others, when it is known whether the gateway puts parts together
   */
  private async parcels(
    files: readonly FileRow[],
    left: number,
  ): Promise<{ first: Parcel[]; rest: Promise<Parcel[]> | undefined }> {
    let before = 0;
    const planned = files.map((file) => {
      const ends = file.parts || file.url ? [file.size] : endsOf(file.size, left - before);
      before += file.size;
      return { file, ends };
    });
    const parted = planned.findIndex(({ ends }) => ends.length > 1);
    if (parted < 0) return { first: await this.planned(planned, false), rest: undefined };
    return {
      first: await this.planned(planned.slice(0, parted), false),
      rest: this.way.joins().then((joins) => this.planned(planned.slice(parted), joins)),
    };
  }

  /** Of what can be sent by now, what isn't taken yet. */
  private async more(due: Due): Promise<Parcel[]> {
    const { left } = due;
    const { first, rest } = await this.parcels(due.take(await this.way.sendable()), left);
    return [...first, ...((await rest) ?? [])];
  }

  private async planned(plans: readonly Plan[], joins: boolean): Promise<Parcel[]> {
    const parcels: Parcel[] = [];
    for (const { file, ends } of plans)
      parcels.push(...(await parcelsOf(file, joins ? ends : [file.size], this.way.queue)));
    return parcels;
  }

  private readAhead(parcel: Parcel | undefined): void {
    if (!parcel?.size || parcel.parted || this.way.asked.has(parcel.id)) return;
    if (parcel.size <= Math.min(this.way.pace.chunk, MOST_AHEAD_BYTES)) this.ahead.begin(parcel.file);
  }

  /** @returns whether it is whole at the gateway; else there is more of it, or it is looked at again */
  private sendOne(parcel: Parcel, signal: AbortSignal, leave: AbortSignal): Promise<boolean> {
    const { way } = this;
    const { file, id, number, parted } = parcel;
    return this.tryIt(parcel, signal, async (token) => {
      if (parted?.complete) return true;
      const told = (offset: number): void => way.onOffset(file.id, parted?.at(number, offset) ?? offset);
      const to: Transfer = {
        queue: way.queue,
        bytes: this.ahead,
        creation: way.creation,
        token,
        pace: way.pace,
        carry: way.carry,
        moved: (bytes) => way.lanes.moved(bytes),
        asked: way.asked.has(id),
        signal,
        leave,
        onOffset: told,
      };
      const sent = await sendFile(parcel, to);
      way.asked.add(id);
      if (sent) told(parcel.size);
      if (sent) await parted?.arrived(parcel);
      return sent;
    });
  }

  /** @returns whether its file is whole at the gateway by it */
  private join(parcel: Parcel, urls: readonly string[], signal: AbortSignal): Promise<boolean> {
    return this.tryIt(parcel, signal, async (token) => {
      await joinParts(parcel.file.id, urls, { creation: this.way.creation, token, signal });
      return true;
    });
  }

  /** @param act takes tokens from there @returns what it returns; false: it is looked at again */
  private async tryIt(
    parcel: Parcel,
    signal: AbortSignal,
    act: (token: () => Promise<string>) => Promise<boolean>,
  ): Promise<boolean> {
    let used = "";
    try {
      return await act(async () => (used = await this.way.token()));
    } catch (error) {
      if (error instanceof Missing) await this.missing(parcel.file, error);
      else await this.refused(parcel, error, used, signal);
      return false;
    }
  }

  private async missing(file: FileRow, error: Missing): Promise<void> {
    await this.way.queue.changeFiles([file.id], { state: "picked", problem: error.problem });
    if (error.problem === "lost_here") throw error; // of a picked file that can't be read the others are sent first
  }

  private async refused(
    { file, id, parted }: Parcel,
    error: unknown,
    used: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { way } = this;
    way.asked.add(id);
    if (!(error instanceof Refused)) throw error;
    way.lanes.refused(error.status);
    const tries = (this.tried.get(id) ?? 0) + 1;
    this.tried.set(id, tries);
    if (rules.concernsAll(error.status) || tries >= TRIES_PER_PARCEL) throw error;
    const verdict = rules.judge(error.status, error.code);
    if (verdict === "renew" || verdict === "wipe") await way.token(used);
    else if (parted && error.code === "other_dialect") await parted.giveUp();
    else if (parted && LACKS_PART.has(error.code)) await this.doubt(parted);
    else if (error.status === 404) await way.queue.changeFiles([file.id], { url: null, offset: 0 });
    else if (verdict === "again") await sleep(error.retryAfterMs || rules.backoff(tries, Math.random()), signal);
    else throw error;
  }

  /** Any of its parts may be gone: each is asked for. */
  private async doubt(parted: Parted): Promise<void> {
    await parted.doubt();
    for (const { id } of parted.parcels()) this.way.asked.add(id);
  }
}
