/**
 * How many requests are under way at once: as many as help.
 *
 * One connection carries what its losses allow, several carry more, until the line is full. So now and then a larger number
 * is tried, and a smaller one. More is kept if it brings nearly half of what it would if every connection carried the same,
 * fewer if it takes less than that: so the line is shared by two senders, because who has more of it gains less by a
 * connection, and loses less without it.
 *
 * Pure: samples in, a number out. `relaypacs send` has the same rule (`gateway/client/width.py`, which says what each constant
 * is for); `tests/vectors/widths.json` holds both to it.
 */

const WORTH_OF_MORE = 0.45;
const WORTH_OF_FEWER = 0.4;
const SETTLE_S = 1;
const LOOK_S = 1.5;
const TRIAL_S = 5;
const LONG_LOOK_S = 4;
const FIRST_REST_S = 3;
const LONGEST_REST_S = 6;
const LONGEST_REST_OF_FEWER_S = 30;
const SILENT_S = 2;
const CHANGE = 1.35;
const LEAST_STEP = 0.125;
const SPARE_S = 10;
const CUT_BYTES = 16 * 1024;
const CUT_S = 4;

/** The number for one line to one gateway. */
export class Width {
  /** What has proved right. */
  kept: number;
  /** How many there are to be now. */
  count: number;
  /** Bytes per second that `kept` carries; 0: not known yet. */
  private rate = 0;
  /** Of `kept`: what is tried next beyond it. */
  private step = 1;
  private rest_s = FIRST_REST_S;
  private restOfFewer_s = FIRST_REST_S;
  private moreAt_s = 0;
  private fewerAt_s = 0;
  private busy = 0;
  private refused = 0;
  private spareUntil_s = Number.NEGATIVE_INFINITY;
  private moved_s = 0;
  private began_s = 0;
  /** Since it has settled. */
  private seen: { at_s: number; bytes: number }[] = [];

  /**
   * It stays between `least` and `most`.
   * @param first what was right for this gateway when it was last asked
   */
  constructor(
    private readonly least: number,
    private readonly most: number,
    first: number,
  ) {
    this.kept = Math.min(most, Math.max(least, first));
    this.count = this.kept;
  }

  /**
   * What is seen a few times a second.
   * @param at_s of a clock that only goes forward
   * @param bytes acknowledged since the beginning
   * @param busy how many requests are under way
   * @param refused how often the gateway has said 429 or 503 since the beginning
   * @returns `count`
   */
  sampled(at_s: number, bytes: number, busy: number, refused: number): number {
    if (refused > this.refused) this.spare(at_s);
    this.refused = refused;
    if (this.flows(at_s, bytes, busy)) this.decide(at_s);
    return this.count;
  }

  /** One fewer, but not for each of many that were refused in one moment. */
  private spare(at_s: number): void {
    if (at_s < this.spareUntil_s - SPARE_S + SETTLE_S) return;
    this.spareUntil_s = at_s + SPARE_S;
    this.keep(Math.max(this.least, Math.min(this.kept, this.count) - 1));
    this.rate = 0;
    this.step = 0;
  }

  /** Whether what has been seen since the last change says something. */
  private flows(at_s: number, bytes: number, busy: number): boolean {
    const last = this.seen.at(-1);
    if (busy !== this.busy || !last) {
      this.busy = busy;
      this.moved_s = at_s;
      this.begin(at_s, bytes);
      return false;
    }
    if (bytes > last.bytes) {
      if (at_s - this.moved_s > SILENT_S) this.begin(at_s, bytes);
      this.moved_s = at_s;
    }
    this.seen.push({ at_s, bytes });
    while ((this.seen[1]?.at_s ?? at_s) <= at_s - TRIAL_S) this.seen.shift();
    return at_s - this.moved_s <= SILENT_S;
  }

  private begin(at_s: number, bytes: number): void {
    this.began_s = at_s;
    this.seen = [{ at_s, bytes }];
  }

  /** Bytes per second in the last `span_s`; null: it isn't so long ago that it settled. */
  private carried(at_s: number, span_s: number): number | null {
    const since_s = at_s - span_s;
    if (since_s < this.began_s + SETTLE_S) return null;
    const then = this.seen.findLast((one) => one.at_s <= since_s);
    const last = this.seen.at(-1);
    return then && last ? (last.bytes - then.bytes) / (at_s - then.at_s) : null;
  }

  private decide(at_s: number): void {
    if (this.busy === this.kept) this.atRest(at_s);
    else if (this.kept < this.busy && this.busy <= this.count) this.ofMore(at_s);
    else if (this.busy === this.count && this.count < this.kept) this.ofFewer(at_s);
    // else there is less to do than could be done, or what ends has not ended yet
  }

  private atRest(at_s: number): void {
    const now = this.carried(at_s, LOOK_S);
    if (now === null) return;
    if (!(this.rate / CHANGE <= now && now <= this.rate * CHANGE)) {
      if (this.rate) this.found(at_s, 1);
      this.rate = now;
      this.tryMore(at_s);
      return;
    }
    const rate = this.carried(at_s, LONG_LOOK_S);
    if (rate === null) return;
    this.rate = rate;
    if (at_s >= this.fewerAt_s && this.kept > this.least)
      this.count = Math.max(this.least, this.kept - Math.max(1, Math.floor(this.kept / 4)));
    else if (at_s >= this.moreAt_s) this.tryMore(at_s);
  }

  private tryMore(at_s: number): void {
    const most = Math.min(this.most, Math.max(this.least, Math.trunc((this.rate * CUT_S) / CUT_BYTES)));
    if (most < this.kept) {
      this.keep(most);
      this.rate = 0;
    } else if (at_s >= this.spareUntil_s)
      this.count = Math.min(most, this.kept + Math.max(1, Math.floor(this.kept * this.step)));
  }

  private ofMore(at_s: number): void {
    const now = this.carried(at_s, LOOK_S);
    if (now === null || this.rate === 0) return;
    const growth = now / this.rate;
    if (growth >= 1 + (this.busy / this.kept - 1) * WORTH_OF_MORE) {
      this.keep(this.busy);
      this.rate = now;
      this.found(at_s, Math.min(1, 2 * Math.max(LEAST_STEP, this.step)));
      this.tryMore(at_s);
      return;
    }
    if (at_s - this.began_s < TRIAL_S) return;
    const enough = Math.ceil(this.kept * growth);
    if (this.kept < enough && enough < this.busy && growth > 1.1) {
      this.count = enough;
      return;
    }
    this.step = Math.max(LEAST_STEP, this.step / 2);
    this.rest_s = Math.min(LONGEST_REST_S, this.rest_s * 1.5);
    this.moreAt_s = at_s + this.rest_s;
    this.count = this.kept;
  }

  private ofFewer(at_s: number): void {
    const [soon, now] = [this.carried(at_s, LOOK_S), this.carried(at_s, LONG_LOOK_S)];
    const part = this.busy / this.kept;
    if (soon === null || this.rate === 0) return;
    if (now !== null && now >= this.rate * (1 - (1 - part) * WORTH_OF_FEWER)) {
      this.keep(this.busy);
      this.rate = now;
      this.found(at_s, this.step);
      this.moreAt_s = at_s + this.rest_s;
    } else if (now !== null || soon < this.rate * part) {
      this.restOfFewer_s = Math.min(LONGEST_REST_OF_FEWER_S, this.restOfFewer_s * 2);
      this.fewerAt_s = at_s + this.restOfFewer_s;
      this.count = this.kept;
    }
  }

  /** It is another line, or another number: all may be tried anew. */
  private found(at_s: number, step: number): void {
    this.step = step;
    this.rest_s = this.restOfFewer_s = FIRST_REST_S;
    this.moreAt_s = at_s;
    this.fewerAt_s = at_s + FIRST_REST_S;
  }

  private keep(count: number): void {
    this.kept = count;
    this.count = count;
  }
}
