import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { holdStores, storesFree } from "../src/queue/going";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("nothing is begun in the stores while a page may go; where it stays they are free again, and can be held again", async () => {
  const begun: string[] = [];
  const begin = (name: string): void => void storesFree().then(() => begun.push(name));
  begin("before");
  await vi.advanceTimersByTimeAsync(0);
  for (const round of ["first", "second"]) {
    holdStores();
    holdStores(); // it is told more than once
    begin(round);
    await vi.advanceTimersByTimeAsync(1_900);
    expect(begun).not.toContain(round);
    await vi.advanceTimersByTimeAsync(200);
    expect(begun).toContain(round);
  }
  expect(begun).toEqual(["before", "first", "second"]);
});
