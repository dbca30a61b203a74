import { describe, expect, test } from "vitest";
import { contradict, modalities } from "../src/app/desk/compare";

describe("modalities are sets", () => {
  test.each([
    ["PT", "PT\\CT"],
    ["CT, PT", "PT\\CT"],
    ["pt/ct", "PT, CT"],
    ["", "PT\\CT"],
  ])("expected %j, declared %j: nothing to mark", (expected, declared) => {
    expect(contradict("modality", [expected, declared])).toBe(false);
  });
  test.each([
    ["PT\\CT", "CT"],
    ["MR", "PT\\CT"],
    ["MR", "CT"],
  ])("expected %j, declared %j: that differs", (expected, declared) => {
    expect(contradict("modality", [expected, declared])).toBe(true);
  });
  test("each is shown once", () => expect(modalities("PT\\CT\\pt")).toEqual(["PT", "CT"]));
});

test("other fields differ as soon as two sides say another thing; who says nothing contradicts nothing", () => {
  expect(contradict("patient_id", ["4711", "", "4711"])).toBe(false);
  expect(contradict("patient_name", ["NGATA AROHA", "Ngata Aroha"])).toBe(false);
  expect(contradict("patient_id", ["4711", "4712", "4711"])).toBe(true);
  expect(contradict("study_description", ["PT CT", "CT PT"])).toBe(true);
});
