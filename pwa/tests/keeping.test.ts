import { expect, test } from "vitest";
import { keeping, kept, LAST_CHANCE_MS, type Time } from "../src/queue/keeping";
import type { Kept, Status, StudyRow } from "../src/queue/rows";

const HOUR = 3600_000;
const TTL = 72 * HOUR;
const COPIED = Date.UTC(2026, 10, 20);

function row(status: Status, more: Partial<Kept> = {}, paused = false): StudyRow {
  return {
    status,
    paused,
    created_at: COPIED,
    kept: { from: COPIED, since: COPIED, late: null, dropped: null, ...more },
  } as StudyRow;
}
const after = (hours: number, sure = true): Time => ({ ms: COPIED + hours * HOUR, sure });

test("in its time a copy stays, whatever became of the study", () => {
  for (const status of [
    "reading",
    "queued",
    "sending",
    "stopped",
    "delivering",
    "held",
    "partial",
    "failed",
    "cancelled",
  ] as Status[]) {
    expect(keeping(row(status), TTL, after(1)), status).toBe("keep");
  }
});

test("a person is warned a day before, of what has not arrived", () => {
  expect(keeping(row("queued"), TTL, after(47))).toBe("keep");
  expect(keeping(row("queued"), TTL, after(49))).toBe("warn");
  expect(keeping(row("stopped"), TTL, after(49, false)), "without a line too").toBe("warn");
  expect(keeping(row("failed"), TTL, after(71))).toBe("keep");
  expect(keeping(row("queued"), 3 * HOUR, after(1.5)), "of a short time the last third").toBe("keep");
  expect(keeping(row("queued"), 3 * HOUR, after(2.5))).toBe("warn");
});

test("what is over, and what the gateway has whole, goes by any clock", () => {
  for (const status of ["partial", "failed", "cancelled", "delivering", "held"] as Status[]) {
    expect(keeping(row(status), TTL, after(73, false)), status).toBe("drop");
  }
});

test("what has not arrived goes by the gateway's clock only", () => {
  expect(keeping(row("stopped"), TTL, after(24 * 365, false)), "the device's may be wrong by a year").toBe("over");
  expect(keeping(row("stopped"), TTL, after(73))).toBe("drop");
  expect(keeping(row("queued", {}, true), TTL, after(73)), "paused").toBe("drop");
});

test("what is on its way is sent instead, for some hours from the first contact on", () => {
  expect(keeping(row("sending"), TTL, after(200)), "it comes back after a week without a line").toBe("over");
  const late = COPIED + 200 * HOUR;
  expect(keeping(row("sending", { late }), TTL, { ms: late + LAST_CHANCE_MS - 1, sure: true })).toBe("over");
  expect(keeping(row("sending", { late }), TTL, { ms: late + LAST_CHANCE_MS, sure: true })).toBe("drop");
});

test("the time counts from the copy by the gateway's clock, where that was seen", () => {
  const wrong = { from: COPIED - 400 * 24 * HOUR, since: COPIED };
  expect(keeping(row("failed", wrong), TTL, after(1))).toBe("keep");
});

test("what arrived, and what was removed before, is left alone", () => {
  expect(keeping(row("success"), TTL, after(999))).toBe("keep");
  expect(keeping(row("stopped", { dropped: COPIED }), TTL, after(999))).toBe("keep");
});

test("a row of an older app counts from when it was added", () => {
  expect(kept({ created_at: COPIED } as StudyRow)).toEqual({ from: COPIED, since: null, late: null, dropped: null });
});
