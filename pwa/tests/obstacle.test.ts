import { describe, expect, test } from "vitest";
import { lacking, obstacleOf } from "../src/app/obstacle/what";
import { KeyLost } from "../src/queue/db";
import { NotFetched } from "../src/twice";

const WHOLE = {
  isSecureContext: true,
  crypto: { subtle: {} },
  indexedDB: {},
  BroadcastChannel: class {},
  navigator: { locks: {} },
  Worker: class {},
  AbortSignal: { any: () => null },
};

describe("what a browser lacks", () => {
  test("nothing", () => expect(lacking(WHOLE)).toBeNull());
  test("without HTTPS it has no more than half of it: the address is what has to change", () => {
    const scope = { ...WHOLE, isSecureContext: false, crypto: {}, navigator: {} };
    expect(lacking(scope)).toEqual({ kind: "insecure", detail: "" });
  });
  test.each([
    [{ crypto: {} }, "crypto.subtle"],
    [{ crypto: undefined, BroadcastChannel: undefined }, "crypto.subtle, BroadcastChannel"],
    [{ indexedDB: null }, "indexedDB"],
    [{ navigator: {} }, "navigator.locks"],
    [{ AbortSignal: {} }, "AbortSignal.any"],
  ])("%j: it is named", (change, detail) => {
    expect(lacking({ ...WHOLE, ...change })).toEqual({ kind: "old", detail });
  });
});

test.each([
  [new DOMException("", "SecurityError"), "blocked"],
  [new DOMException("", "InvalidStateError"), "blocked"],
  [new DOMException("", "QuotaExceededError"), "full"],
  [new DOMException("", "VersionError"), "newer"],
  [new DOMException("", "UnknownError"), "broken"],
  [new DOMException("", "TimeoutError"), "silent"],
  [new DOMException("", "OperationError"), "key"],
  [new KeyLost(), "key"],
  [new NotFetched(), "part"],
  [new TypeError("x is undefined"), "failed"],
  ["no error at all", "failed"],
])("what the start threw, %s: %s", (error, kind) => {
  expect(obstacleOf(error).kind).toBe(kind);
});
