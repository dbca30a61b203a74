import { describe, expect, test } from "vitest";
import type { StudyRow } from "../src/queue/rows";
import {
  actions,
  backoff,
  FIRST_PACE,
  firstChunk,
  givesWay,
  goesBy,
  goneBecause,
  judge,
  lessChunk,
  nextChunk,
  nextDue,
  paced,
  patience,
  pick,
  rate,
  statusOf,
  yielding,
} from "../src/upload/rules";

function row(change: Partial<StudyRow>): StudyRow {
  return {
    id: "a",
    subject: "account:1",
    endpoint_id: "main",
    priority: "routine",
    status: "queued",
    paused: false,
    direct: false,
    retry_count: 0,
    next_try_at: 0,
    total_files: 1,
    total_bytes: 1,
    created_at: 0,
    changed_at: 0,
    upload_id: null,
    tus_url: null,
    metadata: { iv: new Uint8Array(), data: new ArrayBuffer() },
    clinical_notes: null,
    tokens: null,
    receipt: null,
    outcome: {},
    told: null,
    problem: null,
    ...change,
  };
}

describe("which study goes next", () => {
  test("STAT goes before what waited longer", () => {
    const rows = [
      row({ id: "old", created_at: 1 }),
      row({ id: "stat", created_at: 9, priority: "stat" }),
      row({ id: "urgent", created_at: 2, priority: "urgent" }),
    ];
    expect(pick(rows, 10)?.id).toBe("stat");
  });
  test("of one priority the oldest goes first", () => {
    expect(pick([row({ id: "b", created_at: 2 }), row({ id: "a", created_at: 1 })], 10)?.id).toBe("a");
  });
  test("a study whose files are still being read is sent already", () => {
    expect(pick([row({ status: "reading" })], 10)?.id).toBe("a");
  });
  test.each([
    ["paused", { paused: true }],
    ["waiting for its next try", { next_try_at: 11 }],
    ["stopped", { status: "stopped" as const }],
    ["at the gateway", { status: "delivering" as const }],
    ["in the PACS", { status: "success" as const }],
    ["cancelled", { status: "cancelled" as const }],
  ])("nothing is sent of one that is %s", (_what, change) => {
    expect(pick([row(change)], 10)).toBeUndefined();
  });
  test("a clock that was put back by a year parks no try for a year", () => {
    const year = 365 * 86_400_000;
    const tried = row({ retry_count: 1, next_try_at: year + 4_000, problem: { code: "offline", at: year } });
    expect(pick([tried], year + 3_999)).toBeUndefined();
    expect(pick([tried], year - 3_600_000)?.id).toBe("a");
    expect(pick([tried], 0)?.id).toBe("a");
  });
  test("the engine sleeps until the next one is due, and for ever if none will be", () => {
    expect(nextDue([row({ next_try_at: 50 }), row({ next_try_at: 20 })])).toBe(20);
    expect(nextDue([row({ paused: true }), row({ status: "success" })])).toBe(Number.POSITIVE_INFINITY);
  });
});

describe("a study that is being sent", () => {
  test("gives way to a more urgent one", () => {
    expect(givesWay(row({}), [row({ id: "b", priority: "stat" })], 10)).toBe(true);
    expect(givesWay(row({ priority: "urgent" }), [row({ id: "b", priority: "stat" })], 10)).toBe(true);
  });
  test("goes on before one of its own kind, or one that isn't due", () => {
    expect(givesWay(row({ created_at: 5 }), [row({ id: "b", created_at: 1 })], 10)).toBe(false);
    expect(givesWay(row({}), [row({ id: "b", priority: "stat", next_try_at: 11 })], 10)).toBe(false);
    expect(givesWay(row({}), [row({ id: "b", priority: "stat", paused: true })], 10)).toBe(false);
  });
});

describe("waiting and pacing", () => {
  test("waits grow, never beyond a minute, and differ between devices", () => {
    expect(backoff(0, 1)).toBe(1000);
    expect(backoff(3, 1)).toBe(8000);
    expect(backoff(50, 1)).toBe(60_000);
    expect(backoff(3, 0)).toBe(4000);
  });
  test("a request takes about ten seconds on any line", () => {
    expect(nextChunk(1 << 20, 60_000)).toBe(256 << 10);
    expect(nextChunk(4 << 20, 10_000)).toBe(4 << 20);
    expect(nextChunk(4 << 20, 10)).toBe(16 << 20);
    expect(nextChunk(4 << 20, 0)).toBe(16 << 20);
  });
  test("and at most four times as much as the one before, which may have been too short to tell", () => {
    expect(nextChunk(128 << 10, 10)).toBe(512 << 10);
  });
  test("a body may stand still for some seconds; once all of it has left, it is waited for as long as it needs to arrive", () => {
    expect(patience(FIRST_PACE, 1 << 20, false, false)).toBe(8_000);
    expect(patience(FIRST_PACE, 0, true, false)).toBe(18_000);
    expect(patience(FIRST_PACE, 4 << 20, true, false)).toBe(48_000);
    expect(patience(FIRST_PACE, 1 << 20, false, true)).toBe(20_000);
  });
  test("after a line that broke the next request is a small one, whose answer comes soon", () => {
    expect(firstChunk(4 << 20)).toBe(128 << 10);
    expect(firstChunk(64 << 10)).toBe(64 << 10);
  });
  test("after a request that nobody answered in time the next is a quarter of it, down to 64 KiB", () => {
    expect(lessChunk(4 << 20)).toBe(1 << 20);
    expect(lessChunk(100 << 10)).toBe(64 << 10);
  });
  test("no rate is told from less than two seconds", () => {
    expect(rate([])).toBeNull();
    expect(
      rate([
        { at: 0, bytes: 0 },
        { at: 1999, bytes: 10 },
      ]),
    ).toBeNull();
    expect(
      rate([
        { at: 0, bytes: 0 },
        { at: 2000, bytes: 10 },
      ]),
    ).toBe(5);
  });
});

describe("what an answer means", () => {
  test.each([
    [0, "offline", "again"],
    [401, "token_expired", "renew"],
    [403, "forbidden", "stop"],
    [404, "not_found", "gone"],
    [404, "http_404", "again"],
    [409, "offset_mismatch", "again"],
    [409, "incomplete", "stop"],
    [409, "upload_completed", "stop"],
    [410, "upload_gone", "gone"],
    [413, "file_too_large", "stop"],
    [422, "invalid_field", "stop"],
    [423, "locked", "again"],
    [429, "too_many_requests", "again"],
    [460, "checksum_mismatch", "again"],
    [500, "internal_error", "again"],
    [501, "not_built", "stop"],
    [503, "draining", "again"],
    [507, "spool_full", "again"],
  ] as const)("%i %s: %s", (status, code, verdict) => {
    expect(judge(status, code)).toBe(verdict);
  });
  test("states of the gateway that say nothing new are left alone", () => {
    expect(statusOf("open")).toBeNull();
    expect(statusOf("held")).toBe("held");
    expect(statusOf("expired")).toBe("stopped");
  });
});

test("what ended can only be removed, what runs can only be paused or cancelled", () => {
  expect(actions(row({ status: "success" }))).toEqual({
    pause: false,
    resume: false,
    retry: false,
    again: false,
    cancel: false,
    remove: true,
  });
  expect(actions(row({ status: "sending" }))).toEqual({
    pause: true,
    resume: false,
    retry: false,
    again: false,
    cancel: true,
    remove: false,
  });
  expect(actions(row({ paused: true }))).toMatchObject({ pause: false, resume: true });
  expect(actions(row({ status: "stopped" }))).toMatchObject({ retry: true, cancel: true });
  expect(actions(row({ status: "held" }))).toMatchObject({ retry: false, cancel: true, remove: false });
});

describe("what the gateway gave up", () => {
  const over = (code: string, subject = "account:1"): StudyRow =>
    row({ status: "stopped", subject, problem: { code, at: 0 } });
  test.each(["upload_cancelled", "upload_expired", "upload_gone"])(
    "%s: it can be sent again as a new upload, or removed",
    (code) => {
      expect(actions(over(code))).toMatchObject({ again: true, retry: false, cancel: false, remove: true });
    },
  );
  test("any other problem is tried again with the same upload", () => {
    expect(actions(over("upload_too_large"))).toMatchObject({ again: false, retry: true, cancel: true, remove: false });
  });
  test("what came by a code needs another code, for the same hospital", () => {
    const gone = over("upload_expired", "qr:1");
    expect(actions(gone)).toMatchObject({ again: false, retry: false });
    expect(goesBy(gone, null)).toBe(false);
    expect(goesBy(gone, { endpoint_id: "main" })).toBe(true);
    expect(goesBy(gone, { endpoint_id: "elsewhere" })).toBe(false);
    expect(goesBy(over("unauthorized", "qr:1"), { endpoint_id: "main" })).toBe(true);
    expect(goesBy(over("spool_full", "qr:1"), { endpoint_id: "main" })).toBe(false);
  });
  test("only what the gateway says is gone is called so", () => {
    expect(goneBecause("cancelled")).toBe("upload_cancelled");
    expect(goneBecause("expired")).toBe("upload_expired");
    expect(goneBecause(undefined)).toBe("upload_gone");
    expect(goneBecause("lost")).toBe("upload_gone");
  });
});

describe("what stands before the gateway has limits of its own", () => {
  const pace = { ...FIRST_PACE, chunk: 4 << 20 };
  test("a piece that is too large for it is halved, down to 64 KiB, and stays so", () => {
    const half = yielding(pace, { status: 413, code: "http_413" }, "POST", 4 << 20);
    expect(half).toEqual({ chunk: 2 << 20, most: 2 << 20, posts: false });
    expect(half && paced(half, 2 << 20, 10)).toBe(2 << 20);
    expect(yielding(pace, { status: 413, code: "http_413" }, "PATCH", 64 << 10)).toBeNull();
  });
  test("several that were on their way at once are halved once", () => {
    const refused = { status: 413, code: "http_413" };
    const first = yielding(pace, refused, "POST", 4 << 20);
    expect(first && yielding(first, refused, "POST", 4 << 20)).toEqual(first);
  });
  test("the gateway's own limit is no reason to try again", () => {
    expect(yielding(pace, { status: 413, code: "file_too_large" }, "POST", 4 << 20)).toBeNull();
  });
  test.each([403, 405, 501])("a PATCH that is answered %i by it goes as a POST", (status) => {
    expect(yielding(pace, { status, code: `http_${status}` }, "PATCH", 9)).toEqual({ ...pace, posts: true });
    expect(yielding(pace, { status, code: `http_${status}` }, "POST", 9)).toBeNull();
    expect(yielding(pace, { status, code: "forbidden" }, "PATCH", 9)).toBeNull();
  });
});
