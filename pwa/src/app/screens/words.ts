/** The words of the screens that come later, and those that the first ones have brought. */
import type { Key } from "../en";
import * as first from "../i18n";
import type { ScreenKey } from "./en";

const words = first.book<ScreenKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});

export function t(key: Key | ScreenKey, values: first.Values = {}): string {
  return words.find(key) === null ? first.t(key as Key, values) : words.t(key as ScreenKey, values);
}

export function count(key: first.Counted<Key | ScreenKey>, n: number, values: first.Values = {}): string {
  const own = words.find(`${key}.other`) !== null;
  return own
    ? words.count(key as first.Counted<ScreenKey>, n, values)
    : first.count(key as first.Counted<Key>, n, values);
}
