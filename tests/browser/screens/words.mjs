// The words that the built app says, and a language that nobody speaks: the same words longer, accented, in brackets.
import { readdirSync, readFileSync } from "node:fs";

const ASSETS = new URL("../../../gateway/web/static/assets/", import.meta.url);
const LETTERS = { a: "á", e: "é", i: "ï", o: "ö", u: "ü", y: "ý", c: "ç", n: "ñ", s: "š", z: "ž", A: "Å", E: "É", I: "Î", O: "Ø", U: "Ü", S: "Š" };

/** About two fifths longer, as German is; places for values stay. */
export function pseudo(text) {
  const longer = text.split(/(\{\w+\})/).map((part) => (part.startsWith("{") ? part : part.replace(/[a-zA-Z]/g, (letter) => LETTERS[letter] ?? letter).replace(/[áéïöüÅÉÎØÜ]/g, "$&$&")));
  return `[${longer.join("")}]`;
}

/** Chunks of words in one language. @returns name of the file -> its tables */
async function chunks(language) {
  const found = new Map();
  for (const name of readdirSync(ASSETS)) {
    if (name.startsWith(`${language}-`) && name.endsWith(".js")) found.set(name, await import(new URL(name, ASSETS)));
  }
  if (found.size === 0) throw new Error("the app isn't built: make install");
  return found;
}

/** @param change what is said instead of each text */
export async function words(language = "en", change = (text) => text) {
  const tables = [...(await chunks(language)).values()].flatMap((module) => Object.values(module));
  const all = Object.assign({}, ...tables); // no key is in two of them: pwa/tests/words.test.ts
  return (key, values = {}) => {
    if (!(key in all)) throw new Error(`no screen says ${key}`);
    return change(all[key]).replace(/\{(\w+)\}/g, (slot, name) => String(values[name] ?? slot));
  };
}

/** The browser gets the chunks that hold the words with every text changed; nothing else of the app is touched. */
export async function speakPseudo(context) {
  for (const [name, module] of await chunks("en")) {
    const tables = Object.entries(module).map(([exported, table]) => {
      const changed = Object.fromEntries(Object.entries(table).map(([key, text]) => [key, pseudo(text)]));
      return `export const ${exported} = ${JSON.stringify(changed)};`;
    });
    if (!readFileSync(new URL(name, ASSETS), "utf8").includes("export")) throw new Error(`${name} holds no words`);
    await context.route(`**/assets/${name}`, (route) => route.fulfill({ contentType: "text/javascript", body: tables.join("\n") }));
  }
}
