import { expect, test } from "vitest";

const sources = import.meta.glob("../src/**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true }) as Record<
  string,
  string
>;

const modules = new Map(
  Object.entries(sources).map(([path, text]) => [path.replace("../src/", "").replace(/\.tsx?$/, ""), text]),
);

/** What a module imports of ours: types and what is fetched later too. */
function imports(name: string): string[] {
  const found = (modules.get(name) ?? "").matchAll(/(?:from |import |import\(|URL\()"(\.[^"]+)"/g);
  return [...found].flatMap(([, told = ""]) => {
    const path = new URL(told.replace(/\.ts$/, ""), `file:///${name}`).pathname.slice(1);
    return [path, `${path}/index`].filter((one) => modules.has(one));
  });
}

/** A way from a module back to itself; null: there is none. */
function circle(): string[] | null {
  const done = new Set<string>();
  const way: string[] = [];
  const walk = (name: string): string[] | null => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name];
    if (done.has(name)) return null;
    way.push(name);
    for (const next of imports(name)) {
      const found = walk(next);
      if (found) return found;
    }
    way.pop();
    done.add(name);
    return null;
  };
  for (const name of modules.keys()) {
    const found = walk(name);
    if (found) return found;
  }
  return null;
}

test("the app's modules import each other in no circle, types included", () => {
  expect(imports("app/desk/incoming")).toContain("app/desk/detail"); // the reading of imports reads them
  expect(imports("app/shell")).toContain("app/desk/index");
  expect(circle()).toBeNull();
});

/** Each table of words is spoken by the same names in its own folder: `t("key")` is one call everywhere. */
const SPOKEN = new Set(["en", "de", "t", "count", "find"]);

function exportsOf(text: string): string[] {
  const named = [
    ...text.matchAll(/^export (?:async )?(?:abstract )?(?:const|function\*?|class|interface|type|let) (\w+)/gm),
  ];
  const taken = [...text.matchAll(/^export const \{([^}]*)\}/gm)].flatMap(([, names = ""]) => names.split(","));
  return [...named.map(([, name = ""]) => name), ...taken.map((name) => name.trim()).filter(Boolean)];
}

test("no name is exported by two modules", () => {
  const by = new Map<string, string[]>();
  for (const [path, text] of modules) for (const name of exportsOf(text)) by.set(name, [...(by.get(name) ?? []), path]);
  expect(by.get("SealedSegments")).toEqual(["upload/bytes"]); // the reading of exports reads them
  const twice = [...by].filter(([name, paths]) => paths.length > 1 && !SPOKEN.has(name));
  expect(Object.fromEntries(twice)).toEqual({});
});

/** At the beginning of a line, where a module's own steps stand: what is inside a function is indented. */
const WAITS = /^(?:export )?(?:(?:const|let) [^=]+= )?await /m;

test("no module waits while it is loaded: who imports it would run too early in WebKit, and what failed once would fail for good", () => {
  expect("const { t } = await words();\n").toMatch(WAITS);
  expect([...modules].filter(([, text]) => WAITS.test(text)).map(([path]) => path)).toEqual([]);
});
