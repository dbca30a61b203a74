import { expect, test } from "vitest";
import delivery from "../../docs/delivery.md?raw";
import validation from "../../docs/validation.md?raw";
import { en } from "../src/app/codes/en";
import { TODO } from "../src/app/codes/todo";

/** Codes in the first column of the tables below a heading. */
function below(page: string, heading: string): string[] {
  const [, rest = ""] = page.split(`\n## ${heading}\n`);
  return [...(rest.split("\n## ")[0] ?? "").matchAll(/^\| `(\w+)` \|/gm)].map((found) => found[1] ?? "");
}

const DOCUMENTED = new Set([
  ...["Skipped", "Rejected", "Warnings", "Why an upload is held"].flatMap((heading) => below(validation, heading)),
  ...below(delivery, "Warnings"),
  "check_failed", // in validation.md's text
  "cancelled_by_admin", // an administrator's own words come with it
]);
const NOT_CODES = /^(todo\..*|other|reason)$/;

test("the pages list codes", () => {
  expect(DOCUMENTED.size).toBeGreaterThan(50);
  expect(validation).toContain("`check_failed`");
});
test("every code that the gateway's pages list has a sentence, and no other has one", () => {
  expect(
    Object.keys(en)
      .filter((key) => !NOT_CODES.test(key))
      .sort(),
  ).toEqual([...DOCUMENTED].sort());
});
test("what is to be done is said of known codes only, and there is a sentence for each", () => {
  for (const [code, todo] of Object.entries(TODO)) {
    expect(en, code).toHaveProperty([code]);
    expect(en).toHaveProperty([`todo.${todo}`]);
  }
});
