import { expect, test, vi } from "vitest";
import { Beforehand } from "../src/upload/beforehand";

test("what was asked for beforehand is there, and isn't asked for again", async () => {
  const ask = vi.fn(async () => "receipt");
  const one = new Beforehand(ask);
  one.begin();
  one.begin();
  expect(await one.now()).toBe("receipt");
  expect(ask).toHaveBeenCalledTimes(1);
});

test("what was too early, or broke, is asked for once more; only that tells what is wrong", async () => {
  const early = vi.fn<() => Promise<string | null>>().mockResolvedValueOnce(null).mockResolvedValue("receipt");
  const one = new Beforehand(early);
  one.begin();
  expect(await one.now()).toBe("receipt");
  const refused = vi.fn(() => Promise.reject(new Error("incomplete")));
  const other = new Beforehand(refused);
  other.begin();
  await expect(other.now()).rejects.toThrow("incomplete");
  expect(refused).toHaveBeenCalledTimes(2);
});

test("what nobody asked for beforehand is asked for when it is time", async () => {
  expect(await new Beforehand(async () => "receipt").now()).toBe("receipt");
});
