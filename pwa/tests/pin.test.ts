import { expect, test } from "vitest";
import { fits, isPin, newCheck, waitAfter } from "../src/queue/pin";

const FEW = 1_000;

test("the right PIN fits, another doesn't, and neither is kept", async () => {
  const check = await newCheck("274190", FEW);
  expect(await fits(check, "274190")).toBe(true);
  expect(await fits(check, "274191")).toBe(false);
  expect(JSON.stringify(check)).not.toContain("274190");
  expect((await newCheck("274190", FEW)).hash, "a salt of its own").not.toBe(check.hash);
});

test("a PIN has four to twelve digits", () => {
  expect(["1234", "123456789012"].every(isPin)).toBe(true);
  expect(["123", "1234567890123", "12a4", "", "１２３４"].some(isPin)).toBe(false);
});

test("five tries are free, then each takes longer, a quarter of an hour at most", () => {
  expect([1, 4, 5, 6, 7, 60].map(waitAfter)).toEqual([0, 0, 30_000, 60_000, 120_000, 900_000]);
});
