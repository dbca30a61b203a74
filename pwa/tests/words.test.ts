import { expect, test } from "vitest";
import { de } from "../src/app/de";
import { en } from "../src/app/en";

const slots = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();

test("German says everything that English says, and nothing else", () => {
  expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
});
test("both languages have the same places for values, and no empty text", () => {
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    expect(slots(de[key]), key).toEqual(slots(en[key]));
    expect(de[key].trim(), key).not.toBe("");
  }
});

const sources = import.meta.glob("../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true }) as Record<string, string>;
test("no word is kept that no screen says", () => {
  const code = Object.entries(sources).filter(([path]) => !/\/(en|de)\.ts$/.test(path)).map(([, text]) => text).join("\n");
  const prefixes = [...code.matchAll(/`([\w.]+\.)\$\{/g)].map((found) => found[1] ?? "");
  const counted = [...code.matchAll(/count\("([\w.]+)"/g)].map((found) => found[1] ?? "");
  const unsaid = Object.keys(en).filter(
    (key) => !code.includes(`"${key}"`) && !prefixes.some((prefix) => key.startsWith(prefix)) && !counted.some((base) => key === `${base}.one` || key === `${base}.other`),
  );
  expect(unsaid).toEqual([]);
});
