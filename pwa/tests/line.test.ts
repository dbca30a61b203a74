/** What the silence of requests means, on lines of the tests' own: seconds go by, and nothing waits for them. */
import { describe, expect, it } from "vitest";
import { type Held, LineWatch, type Question } from "../src/upload/line";

const TRIP_MS = 100;
const LOOK_MS = 100;

/** A line with one watch on it. */
class Line {
  readonly watch = new LineWatch();
  readonly ended: { at: number; one: Held }[] = [];
  now = 10_000;
  asked = 0;
  /** Whether a question that is asked now is answered. */
  there = true;
  private readonly waiting: { at: number; question: Question }[] = [];

  body(size = 1 << 20): Held {
    return this.watch.begin(this.now, size);
  }

  /** @param each what happens beside, at every look */
  passes(ms: number, each: () => void = () => undefined): void {
    for (const until = this.now + ms; this.now < until; ) {
      this.now += LOOK_MS;
      each();
      while (this.waiting[0] && this.waiting[0].at <= this.now) {
        const first = this.waiting.shift();
        if (first) this.watch.told(this.now, first.question, true);
      }
      const { ask, end } = this.watch.look(this.now);
      for (let one = 0; one < ask; one += 1) {
        const question = this.watch.ask(this.now);
        this.asked += 1;
        if (this.there) this.waiting.push({ at: this.now + TRIP_MS, question });
      }
      for (const one of end) this.ended.push({ at: this.now, one });
    }
  }

  /** It carries so much of these, evenly. */
  carries(ms: number, bytes: number, of: readonly Held[]): void {
    const looks = (ms / LOOK_MS) * of.length;
    this.passes(ms, () => {
      for (const one of of) this.watch.moved(this.now, one, bytes / looks);
    });
  }
}

describe("requests that are silent", () => {
  it("nothing is asked while bytes move", () => {
    const line = new Line();
    line.carries(20_000, 400_000, [line.body(), line.body()]);
    expect([line.asked, line.ended]).toEqual([0, []]);
  });

  it("when the line is back what missed it is given up at once, what moves isn't", () => {
    const line = new Line();
    const [silent, moves] = [line.body(), line.body()];
    line.carries(3_000, 2_000_000, [silent, moves]);
    line.there = false;
    line.passes(6_000);
    expect(line.ended).toEqual([]); // TCP may yet go on with it
    line.there = true;
    const back = line.now;
    line.passes(2_000, () => line.watch.moved(line.now, moves, 1_000));
    line.passes(1_000, () => line.watch.moved(line.now, moves, 1_000));
    expect(line.ended.map(({ one }) => one)).toEqual([silent]);
    expect((line.ended[0]?.at ?? Number.POSITIVE_INFINITY) - back).toBeLessThanOrEqual(2_000);
  });

  it("while the line is away it is asked twice a second, each time over a new connection", () => {
    const line = new Line();
    const first = line.body(0);
    line.passes(TRIP_MS);
    line.watch.answered(line.now, first);
    line.watch.end(first);
    line.carries(3_000, 1_000_000, [line.body(), line.body(), line.body(), line.body(), line.body()]);
    line.there = false;
    line.passes(4_000);
    const before = line.asked;
    line.passes(5_000);
    expect(line.asked - before).toBeGreaterThanOrEqual(8);
  });

  it("when all missed its return all are given up within a second of it", () => {
    const line = new Line();
    const bodies = [line.body(), line.body()];
    line.carries(3_000, 2_000_000, bodies);
    line.there = false;
    line.passes(6_000);
    line.there = true;
    line.passes(1_000);
    expect(line.ended.map(({ one }) => one)).toEqual(bodies);
  });

  it("on another network, where the gateway answers, dead ones are given up after five seconds and four round trips", () => {
    const line = new Line();
    const bodies = [line.body(), line.body()];
    line.carries(3_000, 600_000, bodies);
    line.passes(4_800);
    expect(line.ended).toEqual([]);
    line.passes(5_400 - 4_800 + 2 * LOOK_MS);
    expect(line.ended.map(({ one }) => one)).toEqual(bodies);
  });

  it("a request without a body is given up sooner, one whose answer takes its time isn't", () => {
    const line = new Line();
    const bare = line.watch.begin(line.now, 0);
    line.watch.begin(line.now, 0, true);
    line.passes(5_000);
    expect(line.ended.map(({ one }) => one)).toEqual([bare]);
  });

  it("on a slow line nobody is given up for what the system still sends of it", () => {
    const line = new Line();
    const bodies = [line.body(), line.body()];
    line.carries(10_000, 125_000, bodies); // 100 kbit/s, and then the system takes the rest at once
    for (const one of bodies) line.watch.moved(line.now, one, 100_000);
    line.passes(6_000);
    expect(line.ended).toEqual([]);
  });

  it("where nobody answers nobody is given up, and it is asked twice a second", () => {
    const line = new Line();
    line.body();
    line.there = false;
    line.passes(20_000);
    expect(line.ended).toEqual([]);
    expect(line.asked).toBeGreaterThan(20);
    expect(line.asked).toBeLessThan(60);
  });

  it("where giving up comes to nothing it is done less and less often", () => {
    const line = new Line();
    for (let tries = 0; tries < 4; tries += 1) {
      line.body();
      line.passes(60_000);
    }
    const [first, second, third] = line.ended.map(({ at }, number) => at - 10_000 - number * 60_000);
    expect(second).toBeGreaterThanOrEqual(first ?? 0);
    expect(third).toBeGreaterThan(1.5 * (second ?? 0));
  });

  it("a device that slept has seen no silence", () => {
    const line = new Line();
    line.body();
    line.passes(500);
    line.now += 3_600_000;
    line.passes(1_000);
    expect(line.ended).toEqual([]);
  });
});

describe("a gateway that is near", () => {
  const answeredAfter = (...trips: number[]): LineWatch => {
    const watch = new LineWatch();
    for (const trip of trips) {
      const one = watch.begin(10_000, 0);
      watch.answered(10_000 + trip, one);
      watch.end(one);
    }
    return watch;
  };

  it("is one that has answered in no time", () => {
    expect(answeredAfter(90, 4).near).toBe(true);
  });

  it("isn't one whose answers take their time, or that hasn't answered yet", () => {
    expect([answeredAfter(40, 60).near, answeredAfter().near]).toEqual([false, false]);
  });

  it("isn't one whose short answers are long ago", () => {
    expect(answeredAfter(2, 50, 50, 50, 50, 50, 50, 50, 50).near).toBe(false);
  });
});
