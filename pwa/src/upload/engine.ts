/**
 * The one that sends. It runs in a Worker of the page, or in the service worker when no page is open; a Web Lock sees
 * to it that only one runs on a device. The queue is its memory: killed at any line, the next one goes on from there,
 * and where each file goes on the gateway says.
 */
import type { Queue } from "../queue/db";
import { ENDED, type Problem, type StudyRow, type Told } from "../queue/rows";
import type { Sealed } from "../queue/seal";
import { Refused, reachable, request } from "./api";
import { Beforehand } from "./beforehand";
import { type ByteSource, Missing } from "./bytes";
import type { Carry } from "./carry";
import type { Channel } from "./channel";
import { askToComplete, type Completed } from "./completing";
import { type GatewayStatus, outcomes, sleep, statuses } from "./follow";
import type { Lanes } from "./lanes";
import { Meter } from "./meter";
import { endsOf } from "./parts";
import { at } from "./place";
import { read, receipt } from "./receipt";
import * as rules from "./rules";
import { Sending } from "./sending";
import { asUpload, openUpload, uploadToken } from "./tokens";
import { extensions } from "./tus";
import { askAbout, wipeUpload } from "./wipe";

const PROBE_MS = 5_000;
/** Without a line it is asked for more often at first: what waits goes on soon after it is back. */
const SOON_MS = 1_000;
const SOON_FOR_MS = 120_000;
const MOST_QUESTIONS = 4;
const IDLE_MS = 60_000;
const TOKEN_KEPT_MS = 2_000;
/** For the request that puts the last file together to be there before `complete`. */
const HEAD_START_MS = 10;
/** To be told of a quick delivery with it; all of it is at the gateway meanwhile, and that isn't told. */
const FAR_WAIT_S = 1;

/** What an engine takes care of: its studies among all, where their bytes are, and how its host brings them. */
export interface Share {
  studies(rows: readonly StudyRow[]): StudyRow[];
  bytes: ByteSource;
  carry: Carry;
  lanes: Lanes;
  /** Whether a question more costs next to nothing. */
  near(): boolean;
}

/** A study that is being sent. */
interface Sent {
  row: StudyRow;
  stop: AbortController;
  leave: AbortController;
  ended: Promise<void>;
}

export class Engine {
  private readonly following = new Set<string>();
  private readonly pace: rules.Pace = { ...rules.FIRST_PACE };
  /** What may be at the gateway though it isn't marked as sent. */
  private readonly asked = new Set<string>();
  /** Studies of which this engine knows what it sent; of others somebody else may have sent more than is written down. */
  private readonly begun = new Set<string>();
  private woken = new AbortController();
  private looked = new AbortController();
  /** Studies that are being sent: how to stop each at once, or to leave it at the end of what is under way. */
  private readonly sent = new Map<string, Sent>();
  private ends = new AbortController().signal;
  private joined: Promise<boolean> | null = null;
  private kept: { upload: string | null; token: string; until: number } | null = null;

  constructor(
    private readonly queue: Queue,
    private readonly channel: Channel,
    private readonly share: Share,
  ) {}

  /** Send whatever is due until told to stop. @param once return when nothing is left to send */
  async run(signal: AbortSignal, once = false): Promise<void> {
    this.ends = signal;
    const deaf = this.channel.listen((news) => {
      if (news.kind === "changed") void this.look(news.study);
    });
    try {
      while (!signal.aborted) {
        const rows = this.share.studies(await this.queue.studies());
        for (const row of rules.toFollow(rows)) void this.follow(row, signal);
        const row = rules.pick(rows, Date.now());
        if (row)
          await this.send(row, signal).catch(() => this.idle(PROBE_MS, signal)); // even that couldn't be written down
        else if (once && rules.nextDue(rows) === Number.POSITIVE_INFINITY && this.following.size === 0) return;
        else await this.idle(Math.min(IDLE_MS, rules.nextDue(rows) - Date.now()), signal);
      }
    } finally {
      deaf();
    }
  }

  /** Somebody is here, or the line came back: what is due is sent, and what is followed is asked for. */
  wake(): void {
    const sleepers = this.looked;
    this.looked = new AbortController();
    sleepers.abort();
    this.nudge();
  }

  /** Something may have become due: a new study. */
  nudge(): void {
    const sleepers = this.woken;
    this.woken = new AbortController();
    sleepers.abort();
  }

  /** Somebody changed a study: the one that is being sent may have to stop, or to wait for a more urgent one. */
  private async look(id: string): Promise<void> {
    this.nudge();
    if (this.sent.size === 0) return;
    const row = await this.queue.study(id);
    if (!row || row.paused || row.status === "cancelled" || row.status === "stopped") this.sent.get(id)?.stop.abort();
    if (!row) return;
    for (const one of this.sent.values()) if (rules.givesWay(one.row, [row], Date.now())) one.leave.abort();
  }

  private async idle(ms: number, signal: AbortSignal): Promise<void> {
    await sleep(Math.max(50, ms), AbortSignal.any([signal, this.woken.signal])).catch(() => undefined);
  }

  private async change(id: string, act: (row: StudyRow) => Partial<StudyRow>): Promise<StudyRow | undefined> {
    const row = await this.queue.change(id, act);
    this.channel.tell({ kind: "changed", study: id });
    return row;
  }

  // Sending

  /** Until it is sent; or gives way, while the last of what was under way still goes. */
  private async send(row: StudyRow, outer: AbortSignal): Promise<void> {
    await this.sent.get(row.id)?.ended; // it gave way just now
    const [stop, leave] = [new AbortController(), new AbortController()];
    const signal = AbortSignal.any([outer, stop.signal]);
    const ended = this.sendWhole(row, signal, leave.signal).finally(() => this.sent.delete(row.id));
    this.sent.set(row.id, { row, stop, leave, ended: ended.catch(() => undefined) });
    await Promise.race([ended, new Promise((left) => leave.signal.addEventListener("abort", left))]);
  }

  private async sendWhole(found: StudyRow, signal: AbortSignal, leave: AbortSignal): Promise<void> {
    try {
      const resumed = found.upload_id !== null && !this.begun.has(found.id);
      this.begun.add(found.id);
      // Where the first file goes as parts, beside the opening: no round trip more.
      const [size, left] = [found.total_bytes / found.total_files, found.total_bytes];
      if (endsOf(size, left).length > 1) void this.joins().catch(() => undefined);
      const row = await openUpload(this.queue, found);
      await this.change(row.id, (now) => (now.status === "queued" ? { status: "sending" } : {}));
      const completion = new Beforehand(() =>
        askToComplete(this.queue, row, this.share.near() ? 0 : FAR_WAIT_S, signal),
      );
      if (!(await this.sendFiles(row, resumed, signal, leave, completion))) return;
      await this.completed(row, await completion.now());
    } catch (error) {
      if (!signal.aborted) await this.failed(found.id, error);
    }
  }

  /**
   * The upload's token. Read from the queue now and then: a lock, a reading and an opening for each of many small files
   * cost more than the files.
   */
  private async token(row: StudyRow, bad?: string): Promise<string> {
    const known = this.kept;
    if (known && known.upload === row.upload_id && known.until > Date.now() && known.token !== bad) return known.token;
    const token = await uploadToken(this.queue, row.id, bad);
    this.kept = { upload: row.upload_id, token, until: Date.now() + TOKEN_KEPT_MS };
    return token;
  }

  /** @returns false: it stopped before all files were sent, and the row says why; or it gives way */
  private async sendFiles(
    row: StudyRow,
    resumed: boolean,
    signal: AbortSignal,
    leave: AbortSignal,
    completion: Beforehand<Completed>,
  ): Promise<boolean> {
    const meter = new Meter(this.channel, row.id);
    const sending = new Sending({
      queue: this.queue,
      bytes: this.share.bytes,
      carry: this.share.carry,
      lanes: this.share.lanes,
      creation: row.tus_url ?? at("/files/"),
      token: (bad) => this.token(row, bad),
      pace: this.pace,
      joins: () => this.joins(),
      sendable: async () => (await this.queue.files(row.id)).filter((file) => rules.sendable(row, file)),
      asked: this.asked,
      onAllThere: () => {
        if (!this.share.near()) completion.begin(HEAD_START_MS);
      },
      onOffset: (file, offset) => {
        meter.at(file, offset);
        void this.gotThrough(row).catch(() => undefined); // told again with the next
      },
    });
    try {
      for (let first = resumed; !leave.aborted; first = false) {
        const files = await this.queue.files(row.id);
        meter.start(files);
        const due = files.filter((file) => rules.sendable(row, file));
        if (due.length === 0) {
          const picked = files.filter((file) => file.state === "picked").length;
          if (picked === 0) return true;
          if (row.direct) return this.pickAgain(row.id);
          const now = await this.queue.study(row.id);
          if (now?.status !== "reading") return false;
          await this.idle(500, signal); // its bytes are still being copied in
          continue;
        }
        const unsent = files.filter(({ state }) => state === "stored" || state === "picked");
        const left = unsent.reduce((sum, { size }) => sum + size, 0);
        await sending.pass(due, left, first, signal, leave);
        signal.throwIfAborted();
      }
      return false;
    } finally {
      meter.end();
    }
  }

  /** Whether the gateway puts parts together (tus Concatenation): older ones don't. */
  private async joins(): Promise<boolean> {
    this.joined ??= extensions(at("/files/")).then((told) => told.includes("concatenation"));
    this.joined.catch(() => (this.joined = null));
    return this.joined;
  }

  /** The first byte that is acknowledged ends a trouble, in the middle of a file too; told once per trouble. */
  private async gotThrough(row: StudyRow): Promise<void> {
    if (row.retry_count === 0 && !row.slept_at) return;
    Object.assign(row, { retry_count: 0, slept_at: null });
    await this.change(row.id, () => ({ retry_count: 0, next_try_at: 0, problem: null, slept_at: null }));
  }

  /** Some of the picked files can't be read any more; what could be is at the gateway. */
  private async pickAgain(id: string): Promise<false> {
    await this.change(id, () => ({ status: "stopped", problem: { code: "pick_again", at: Date.now() } }));
    return false;
  }

  private async completed(row: StudyRow, answer: Completed | null): Promise<void> {
    const status = rules.statusOf(answer?.status ?? answer?.state ?? "") === "held" ? "held" : "delivering";
    await this.change(row.id, () => ({ status, retry_count: 0, next_try_at: 0, problem: null }));
  }

  private async failed(id: string, error: unknown): Promise<void> {
    if (error instanceof DOMException && error.name === "AbortError") return;
    // What is over stays as it is: the person who cancelled was quicker than the gateway's answer, or than the reading.
    const change = (act: (row: StudyRow) => Partial<StudyRow>): Promise<unknown> =>
      this.change(id, (row) => (ENDED.has(row.status) ? {} : act(row)));
    if (error instanceof Missing)
      return void (await change(() => ({ status: "stopped", problem: { code: error.problem, at: Date.now() } })));
    const refused = error instanceof Refused ? error : new Refused(0, "failed_here");
    const verdict = rules.judge(refused.status, refused.code);
    if (verdict === "wipe" && (await wipeUpload(this.queue, this.channel, id, refused))) return;
    if (verdict === "gone" && (await askAbout(this.queue, this.channel, id))) return;
    const { limit } = refused.body;
    const problem: Problem = {
      code: verdict === "wipe" ? "unauthorized" : refused.code,
      at: Date.now(),
      ...(typeof limit === "string" && { limit }),
    };
    if (refused.code === "upload_completed") {
      // The gateway had all of it before we knew: it completes by itself what nobody speaks of any more.
      await change(() => ({ status: "delivering", problem: null, retry_count: 0 }));
    } else if (verdict === "gone") {
      const { body } = await this.obituary(id, refused);
      const code = rules.goneBecause(body.state);
      const told = await this.sealTold(id, body);
      await change(() => ({
        status: code === "upload_cancelled" ? "cancelled" : "stopped",
        told,
        problem: { ...problem, code },
      }));
    } else if (verdict === "again") {
      await change((row) => {
        const retries = row.retry_count + 1;
        return {
          retry_count: retries,
          problem,
          next_try_at: Date.now() + (refused.retryAfterMs || rules.backoff(retries, Math.random())),
        };
      });
      if (refused.status === 0) await this.untilReachable(id);
    } else {
      await change(() => ({ status: "stopped", problem }));
    }
  }

  /** What became of an upload, in whole; the answers to its files may say less. */
  private async obituary(id: string, refused: Refused): Promise<Refused> {
    try {
      const row = await this.queue.study(id);
      await asUpload(this.queue, id, (bearer) => request(`/upload/${row?.upload_id}/status`, { bearer }));
    } catch (error) {
      if (error instanceof Refused && error.status === 410 && error.body.state) return error;
    }
    return refused;
  }

  /** Without a line nothing is tried: one small question every second, after minutes every few, until the gateway answers. */
  private async untilReachable(id: string): Promise<void> {
    if (await reachable()) return;
    this.channel.tell({ kind: "line", online: false });
    const since = performance.now();
    let asking = 0;
    let back = false;
    const ask = async (): Promise<void> => {
      asking += 1;
      back = (await reachable()) || back;
      asking -= 1;
      if (back) this.nudge();
    };
    // A question on a dead line ends late: the next one doesn't wait for it.
    while (!this.ends.aborted && !back) {
      if (asking < MOST_QUESTIONS) void ask();
      await this.idle(performance.now() - since < SOON_FOR_MS ? SOON_MS : PROBE_MS, this.ends);
    }
    this.channel.tell({ kind: "line", online: true });
    await this.change(id, () => ({ next_try_at: 0 }));
  }

  // Following

  private async follow(row: StudyRow, signal: AbortSignal): Promise<void> {
    if (!row.upload_id || this.following.has(row.id)) return;
    this.following.add(row.id);
    try {
      const rest = (ms: number, turn: AbortSignal): Promise<void> =>
        sleep(ms, AbortSignal.any([signal, this.looked.signal, turn])).catch(() => signal.throwIfAborted());
      const ahead = new Beforehand(() => receipt(this.queue, row.id, row.upload_id ?? ""));
      if (row.status === "delivering") ahead.begin();
      for await (const told of statuses(this.queue, row.id, row.upload_id, signal, rest)) {
        const status = rules.statusOf(told.state) ?? "delivering";
        if (status === "success" || status === "partial" || status === "failed")
          await this.finish(row, told, status, ahead);
        else {
          const sealed = told.held_reasons && (await this.sealTold(row.id, told));
          await this.change(row.id, () => ({
            status,
            outcome: told.files,
            problem: null,
            ...(sealed && { told: sealed }),
          }));
        }
      }
    } catch (error) {
      if (!signal.aborted) await this.notFollowed(row.id, error).catch(() => this.idle(PROBE_MS, signal));
    } finally {
      this.following.delete(row.id);
    }
  }

  /** The receipt first, then the bytes, then the end: a crash between them repeats, and neither loses nor leaves anything. */
  private async finish(
    row: StudyRow,
    told: GatewayStatus,
    status: "success" | "partial" | "failed",
    ahead: Beforehand<string>,
  ): Promise<void> {
    const jws = await ahead.now();
    const sealed = jws && (await this.queue.sealFor(row.id, "receipt", read(jws)));
    const saying = await this.sealTold(row.id, told);
    const plain = Object.entries(told.files).every(([state, n]) => state === "stored" || n === 0);
    for (const { outcome, ids } of plain ? [] : await outcomes(this.queue, row.id, told.upload_id))
      await this.queue.changeFiles(ids, { outcome });
    if (sealed) await this.queue.change(row.id, () => ({ receipt: sealed }));
    if (status === "success") await this.queue.dropStudyBytes(row.id);
    await this.change(row.id, () => ({ status, outcome: told.files, told: saying, problem: null, retry_count: 0 }));
  }

  private sealTold(id: string, told: Partial<GatewayStatus>): Promise<Sealed> {
    const said: Told = { held: told.held_reasons ?? [], warnings: told.warnings ?? [] };
    return this.queue.sealFor(id, "told", said);
  }

  private async notFollowed(id: string, error: unknown): Promise<void> {
    const refused = error instanceof Refused ? error : new Refused(0, "failed_here");
    if (["gone", "wipe"].includes(rules.judge(refused.status, refused.code))) return this.failed(id, refused);
    const signedOut = rules.isSignedOut({ code: refused.code, at: 0 });
    if (signedOut) await this.change(id, () => ({ problem: { code: refused.code, at: Date.now() } }));
    if (refused.status === 0) await this.untilReachable(id);
    else await this.idle(signedOut ? IDLE_MS : PROBE_MS, this.ends);
    this.nudge();
  }
}
