/**
 * Words and numbers in the reader's language. A signal: switching redraws. A table of words is fetched in one language
 * at a time, so that nobody waits for words that nobody reads.
 */
import { signal } from "@preact/signals";
import { twice } from "../twice";
import type { Key } from "./en";
import { prefer, preference } from "./preferences";

export type Language = "en" | "de";
export const LANGUAGES: readonly { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "de", name: "Deutsch" },
];

const STORED = "language";

export const language = signal<Language>(preferred());

function preferred(): Language {
  const asked = [preference(STORED), ...navigator.languages].map((one) => one?.slice(0, 2));
  return asked.find((one): one is Language => LANGUAGES.some(({ code }) => code === one)) ?? "en";
}

/** The reader's own way to write numbers and dates, as far as it belongs to the language shown. */
function locale(): string {
  return navigator.languages.find((one) => one.startsWith(language.value)) ?? language.value;
}

/** Every table that was opened so far has the words of a language. @throws NotFetched */
export async function speakAll(code = language.value): Promise<void> {
  await Promise.all(loaders.map((load) => load(code)));
}

/** Every table has the language's words before any screen speaks it. @throws NotFetched */
export async function speak(code: Language): Promise<void> {
  await speakAll(code);
  if (code !== preferred()) prefer(STORED, code);
  document.documentElement.lang = code;
  language.value = code;
}

const loaders: ((code: Language) => Promise<void>)[] = [];

export type Values = Record<string, string | number>;
export type Counted<K> = K extends `${infer Base}.one` ? Base : never;

export interface Words<K extends string> {
  t(key: K, values?: Values): string;
  /** With `n`: the form of the language's plural rules. */
  count(key: Counted<K>, n: number, values?: Values): string;
  /** A key from outside; null: the table doesn't have it. */
  find(key: string): string | null;
  /** For a table that others must not keep from being read: `speakAll` loads it too. @throws NotFetched */
  load(code: Language): Promise<void>;
}

/**
 * A table of words, one module for each language. `speakAll` fetches them, after the module that opens the table: a module
 * that waits while it is loaded fails for good where they don't come, and WebKit runs those that import it too early.
 */
export function book<K extends string>(tables: Record<Language, () => Promise<Record<K, string>>>): Words<K> {
  const loaded = new Map<Language, Readonly<Record<string, string>>>();
  const load = async (code: Language): Promise<void> => {
    if (!loaded.has(code)) loaded.set(code, await twice(tables[code]));
  };
  const find = (key: string): string | null => loaded.get(language.value)?.[key] ?? null;
  const t = (key: string, values: Values = {}): string =>
    (find(key) ?? key).replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all));
  const count = (key: string, n: number, values: Values = {}): string => {
    const form = new Intl.PluralRules(locale()).select(n) === "one" ? "one" : "other";
    return t(`${key}.${form}`, { n: new Intl.NumberFormat(locale()).format(n), ...values });
  };
  loaders.push(load);
  return { t, count, find, load };
}

export const { t, count } = book<Key>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});

export function bytes(size: number): string {
  const [unit, by] =
    size >= 1e9
      ? (["gigabyte", 1e9] as const)
      : size >= 1e6
        ? (["megabyte", 1e6] as const)
        : (["kilobyte", 1e3] as const);
  const digits = size / by < 10 && by > 1e3 ? 1 : 0;
  const format = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits } as const;
  return whole(new Intl.NumberFormat(locale(), format).format(size / by));
}

export function number(n: number): string {
  return new Intl.NumberFormat(locale()).format(n);
}

export function percent(part: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent" }).format(Math.floor(part * 100) / 100);
}

export function duration(seconds: number): string {
  const [unit, n] =
    seconds < 90
      ? (["second", Math.max(1, Math.ceil(seconds / 5) * 5)] as const)
      : seconds < 5400
        ? (["minute", Math.ceil(seconds / 60)] as const)
        : seconds < 172_800
          ? (["hour", Math.ceil(seconds / 3600)] as const)
          : (["day", Math.round(seconds / 86_400)] as const);
  return whole(new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(n));
}

/** A number and its unit, or a date, stay on one line. */
const whole = (text: string): string => text.replaceAll(" ", "\u00a0");

/** Today only the time, else the day too; the year where it is another one. */
export function moment(at: number | string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const now = new Date();
  const today = date.toDateString() === now.toDateString();
  const year = date.getFullYear() === now.getFullYear() ? {} : ({ year: "numeric" } as const);
  const day = today ? {} : ({ day: "numeric", month: "short", ...year } as const);
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" } as const;
  return whole(new Intl.DateTimeFormat(locale(), { ...time, ...day }).format(date));
}

/** A DICOM date (PS3.5 6.2, DA); what isn't one is shown as it is. */
export function dicomDate(text: string): string {
  const parts = /^(\d{4})(\d{2})(\d{2})$/.exec(text);
  if (!parts) return text;
  const date = new Date(Date.UTC(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3])));
  return whole(new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeZone: "UTC" }).format(date));
}
