import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { NotFetched, twice } from "../src/twice";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

async function fetched(answers: (string | Error)[]): Promise<unknown> {
  const told = twice(async () => {
    const answer = answers.shift() ?? "nobody asks a third time";
    if (answer instanceof Error) throw answer;
    return answer;
  }).catch((error: unknown) => error);
  await vi.runAllTimersAsync();
  return told;
}

test("what comes is there", async () => expect(await fetched(["it"])).toBe("it"));
test("what doesn't come is asked for once more", async () =>
  expect(await fetched([new Error("cut"), "it"])).toBe("it"));
test("what neither comes nor fails is given up after a while", async () => {
  const told = twice(() => new Promise<string>(() => undefined)).catch((error: unknown) => error);
  await vi.runAllTimersAsync();
  expect(await told).toBeInstanceOf(NotFetched);
});
test("what doesn't come twice is said, with why", async () => {
  const error = await fetched([new Error("cut"), new Error("cut again")]);
  expect(error).toBeInstanceOf(NotFetched);
  expect((error as Error).cause).toEqual(new Error("cut again"));
});
