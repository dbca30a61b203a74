import { describe, expect, test } from "vitest";
import { de as codesDe } from "../src/app/codes/de";
import { en as codesEn } from "../src/app/codes/en";
import { de } from "../src/app/de";
import { de as deskDe } from "../src/app/desk/de";
import { en as deskEn } from "../src/app/desk/en";
import { en } from "../src/app/en";
import { de as obstacleDe } from "../src/app/obstacle/de";
import { en as obstacleEn } from "../src/app/obstacle/en";
import { de as screensDe } from "../src/app/screens/de";
import { en as screensEn } from "../src/app/screens/en";
import { de as settingsDe } from "../src/app/settings/de";
import { en as settingsEn } from "../src/app/settings/en";

type Table = Record<string, string>;
const slots = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();
const sources = import.meta.glob("../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true }) as Record<
  string,
  string
>;
const code = (below: string): string =>
  Object.entries(sources)
    .filter(([path]) => path.startsWith(`../src/${below}`) && !/\/(en|de)\.ts$/.test(path))
    .map(([, text]) => text)
    .join("\n");
const desk = code("app/desk/");
const settings = code("app/settings/");

/** The app's own words, and those of the desk, each with the code that may say them. */
const BOOKS: [string, Table, Table, string][] = [
  ["the app", en, de, code("").replace(desk, "")],
  ["the later screens", screensEn, screensDe, code("app/screens/")],
  ["settings", settingsEn, settingsDe, settings],
  ["the desk", deskEn, deskDe, desk],
  ["what keeps it from starting", obstacleEn, obstacleDe, code("app/obstacle/")],
  ["the codes", codesEn, codesDe, code("app/codes/")],
];

describe.each(BOOKS)("%s", (_name, english, german, said) => {
  test("German says everything that English says, and nothing else", () => {
    expect(Object.keys(german).sort()).toEqual(Object.keys(english).sort());
  });
  test("both languages have the same places for values, and no empty text", () => {
    for (const key of Object.keys(english)) {
      expect(slots(german[key] ?? ""), key).toEqual(slots(english[key] ?? ""));
      expect(german[key]?.trim(), key).not.toBe("");
    }
  });
  test("nothing is left in English by oversight", () => {
    const alike = Object.keys(english).filter(
      (key) => english[key] === german[key] && /[a-z]{3,} [a-z]{3,}/.test(english[key] ?? ""),
    );
    expect(alike).toEqual([]);
  });
  test("every value that is put in has its place", () => {
    for (const [, key, values] of said.matchAll(/\bt\("([\w.]+)", \{([^{}]*)\}/g)) {
      const text = english[key ?? ""];
      if (text === undefined) continue;
      const given = [...(values ?? "").matchAll(/(?:^|,)\s*(\w+)/g)].map((found) => `{${found[1]}}`);
      expect(given.sort(), key).toEqual([...new Set(slots(text))]);
    }
  });
});

test.each(BOOKS.slice(0, -1))("no word of %s is kept that no screen says", (_name, english, _german, said) => {
  const prefixes = [...said.matchAll(/`([\w.]+\.)\$\{/g)].map((found) => found[1] ?? "");
  const counted = [...said.matchAll(/count\("([\w.]+)"/g)].map((found) => found[1] ?? "");
  const unsaid = Object.keys(english).filter(
    (key) =>
      !said.includes(`"${key}"`) &&
      !prefixes.some((prefix) => key.startsWith(prefix)) &&
      !counted.some((base) => key === `${base}.one` || key === `${base}.other`),
  );
  expect(unsaid).toEqual([]);
});

test("no key is in two tables", () => {
  const keys = BOOKS.flatMap(([, english]) => Object.keys(english));
  expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
});

/** What nobody in the field says, in each language. */
const UNSAID =
  /\b(by itself|goes on|Nobody has been told|name this word|whose it is|how it stands|Waiting for its turn|Need somebody)\b/i;
const UNSAID_DE =
  /\b(Studien?|freiwillig|Quittung|angehalten|an der Reihe|von selbst|Bescheid gesagt|wessen sie ist|Brauchen jemanden)\b/i;

test.each(BOOKS)("%s speaks as clinicians and radiology departments do", (_name, english, german) => {
  expect(Object.entries(english).filter(([, text]) => UNSAID.test(text))).toEqual([]);
  expect(Object.entries(german).filter(([, text]) => UNSAID_DE.test(text))).toEqual([]);
});
