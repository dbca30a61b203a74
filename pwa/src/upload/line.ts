/**
 * What the silence of requests means, found out by small questions beside them. TCP repeats what nobody acknowledges less and
 * less often (RFC 6298 5.5): it notices seconds late that a line is back, and on another network none of its connections ever
 * goes on. `relaypacs send` has the same idea (`gateway/client/watch.py`).
 *
 * Pure: what is seen goes in, with the time in ms; what is to be done comes out.
 */

/** All is silent for so long beside two round trips: longer than one lost packet costs. A question is due sooner. */
const SILENT_MS = 1_000;
const DOUBTFUL_MS = 500;
/** So much longer, and the line was away: a device or a gateway that has much to do answers nobody for a second, too. */
const AWAY_BESIDE_MS = 1_000;
const ASK_EVERY_MS = 500;
/** A question goes again over a new connection after so long, beside two round trips: one lost greeting costs a second. */
const ANSWER_MS = 1_250;
/** Sooner while the line is away: on one that is back the first greeting is answered. */
const ANSWER_AWAY_MS = 300;
/** One alone is silent for so long, beside four round trips, though the line is there. */
const DEAD_MS = 5_000;
/** One that brings nothing: giving it up costs a round trip. */
const DEAD_BARE_MS = 2_500;
const FIRST_TRIP_MS = 600;
/** A gateway in the house: one question more costs next to nothing. */
const NEAR_MS = 20;
const TRIPS_KNOWN = 8;
/** As many connections as a browser has for a gateway. */
const CONNECTIONS = 6;
const RATE_OVER_MS = 10_000;
const LEAST_RATE_OVER_MS = 1_000;
/** What most systems hold of a body, where the line isn't fast. */
const HELD_BY_SYSTEM = 128 << 10;
/** Nobody looked for so long: the device slept. */
const SLEPT_MS = 2_000;
const MOST_PATIENCE = 8;

/** A request that is under way. */
export interface Held {
  /** Bytes of its body. */
  readonly size: number;
  /** Its answer may take long. */
  readonly slow: boolean;
  /** So many of them have left: the system may hold them yet. */
  left: number;
  /** When it began, or any of it last left. */
  movedAt: number;
}

export interface Question {
  readonly at: number;
}

/** What is to be done now. */
export interface ToDo {
  /** So many questions. */
  ask: number;
  /** Questions that get no answer any more. */
  drop: Question[];
  /** Requests that don't go on by themselves. */
  end: Held[];
}

/** Times the usual: more where giving up came to nothing. */
class Patience {
  times = 1;
  private cameToSomething = true;

  /** One was given up. */
  lost(): void {
    this.times = this.cameToSomething ? 1 : Math.min(MOST_PATIENCE, this.times * 2);
    this.cameToSomething = false;
  }

  /** One was answered. */
  proved(): void {
    this.times = 1;
    this.cameToSomething = true;
  }
}

export class LineWatch {
  private readonly held = new Set<Held>();
  private readonly questions = new Set<Question>();
  private trips: number[] = [];
  private samples: { at: number; bytes: number }[] = [];
  private movedAt = 0;
  private lookedAt = 0;
  private askedAt = Number.NEGATIVE_INFINITY;
  private answeredAt = Number.NEGATIVE_INFINITY;
  /** The first question that went unanswered, and when that was known; null: none did, or the line is back. */
  private away: { from: number; known: number } | null = null;
  /** The line is there again: what hasn't moved since then doesn't know. */
  private backSince = Number.NEGATIVE_INFINITY;
  private readonly ofBodies = new Patience();
  private readonly ofBare = new Patience();

  /** Whether there is anything to look at. */
  get idle(): boolean {
    return this.held.size === 0 && this.questions.size === 0;
  }

  /** As far as is known. */
  get near(): boolean {
    return this.trip <= NEAR_MS;
  }

  /** A request begins. */
  begin(now: number, size: number, slow = false): Held {
    if (this.held.size === 0) this.lookedAt = this.movedAt = now;
    const one = { size, slow, left: 0, movedAt: now };
    this.held.add(one);
    return one;
  }

  /** So many bytes more of it have left. */
  moved(now: number, one: Held, bytes: number): void {
    one.left += bytes;
    this.stirred(now, one);
    this.samples = this.samples.filter(({ at }) => at > now - RATE_OVER_MS);
    this.samples.push({ at: now, bytes });
  }

  /** It is answered. */
  answered(now: number, one: Held): void {
    this.patienceWith(one).proved();
    if (one.size === 0 && !one.slow) this.learn(now - one.movedAt);
    this.stirred(now, one);
  }

  /** It has ended, however. */
  end(one: Held): void {
    this.held.delete(one);
  }

  /** A question is asked. */
  ask(now: number): Question {
    const question = { at: now };
    this.askedAt = now;
    this.questions.add(question);
    return question;
  }

  /** @param heard whether the gateway has answered it */
  told(now: number, question: Question, heard: boolean): void {
    if (!this.questions.delete(question) || !heard) return;
    this.learn(now - question.at);
    this.answeredAt = now;
    if (!this.away || question.at < this.away.known) return;
    this.backSince = question.at;
    this.away = null;
  }

  /** Several times a second. */
  look(now: number): ToDo {
    if (now - this.lookedAt > SLEPT_MS) this.slept(now);
    this.lookedAt = now;
    const silent_ms = this.held.size > 0 ? now - this.movedAt : 0;
    const late = [...this.questions].filter(({ at }) => now - at > this.silence);
    if (silent_ms > this.silence + AWAY_BESIDE_MS && late[0]) this.away ??= { from: late[0].at, known: now };
    const patience_ms =
      2 * this.trip + (this.away ? ANSWER_AWAY_MS : (this.ofBodies.times - 1) * SILENT_MS + ANSWER_MS);
    const drop = [...this.questions].filter(({ at }) => now - at > patience_ms);
    for (const one of drop) this.questions.delete(one);
    return { ask: this.due(now, silent_ms), drop, end: this.given(now) };
  }

  /** How many questions. At first one for each connection that may be left from before: whatever is dead is found out. */
  private due(now: number, silent_ms: number): number {
    if (silent_ms <= this.silence - SILENT_MS + DOUBTFUL_MS || now - this.askedAt < ASK_EVERY_MS) return 0;
    const room = Math.max(1, CONNECTIONS - this.held.size) - this.questions.size;
    return this.askedAt < this.movedAt ? Math.max(0, room) : Math.min(1, room);
  }

  private get trip(): number {
    return this.trips.length > 0 ? Math.min(...this.trips) : FIRST_TRIP_MS;
  }

  private get silence(): number {
    return this.ofBodies.times * SILENT_MS + 2 * this.trip;
  }

  private patienceWith({ size }: Held): Patience {
    return size > 0 ? this.ofBodies : this.ofBare;
  }

  private learn(trip: number): void {
    this.trips = [...this.trips.slice(1 - TRIPS_KNOWN), trip];
  }

  /** Something came of it: if the line was away, it is back. */
  private stirred(now: number, one: Held): void {
    one.movedAt = this.movedAt = now;
    if (this.away) this.backSince = this.away.from;
    this.away = null;
  }

  /** The silence of that time was the device's own. */
  private slept(now: number): void {
    this.movedAt = now;
    this.away = null;
    this.questions.clear();
    for (const one of this.held) one.movedAt = now;
  }

  /** Those that are given up. */
  private given(now: number): Held[] {
    const ended = [...this.held].filter((one) => this.missedReturn(now, one) || this.isDead(now, one));
    if (ended.length === 0) return ended;
    for (const one of ended) this.held.delete(one);
    for (const one of new Set(ended.map((each) => this.patienceWith(each)))) one.lost();
    this.movedAt = now; // those that follow have their time
    return ended;
  }

  private missedReturn(now: number, one: Held): boolean {
    return one.movedAt < this.backSince && now - one.movedAt > Math.max(this.silence, this.explained(HELD_BY_SYSTEM));
  }

  private isDead(now: number, one: Held): boolean {
    const isThere = !this.away && now - Math.max(this.movedAt, this.answeredAt) <= this.silence;
    const usual = one.size > 0 ? DEAD_MS : DEAD_BARE_MS;
    const silent = this.patienceWith(one).times * usual + 4 * this.trip;
    const explained = this.explained(one.size > 0 ? Number.POSITIVE_INFINITY : HELD_BY_SYSTEM);
    return isThere && !one.slow && now - one.movedAt > Math.max(silent, explained);
  }

  /** How long all may be silent while the system sends what it holds of the bodies. @param most of each */
  private explained(most: number): number {
    const bytes = [...this.held].reduce((sum, { left }) => sum + Math.min(left, most), 0);
    const carried = this.samples.reduce((sum, sample) => sum + sample.bytes, 0);
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    if (bytes === 0 || !first || !last) return 0;
    return (bytes / carried) * Math.max(LEAST_RATE_OVER_MS, last.at - first.at);
  }
}
