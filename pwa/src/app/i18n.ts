/** Words and numbers in the reader's language. A signal: switching redraws. */
import { signal } from "@preact/signals";
import { de } from "./de";
import { en, type Key } from "./en";

const TABLES = { en, de };
export type Language = keyof typeof TABLES;
export const LANGUAGES: readonly { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "de", name: "Deutsch" },
];

const STORED = "language"; // the one thing in localStorage: it says nothing about anybody

export const language = signal<Language>(preferred());

function preferred(): Language {
  const asked = [localStorage.getItem(STORED), ...navigator.languages].map((one) => one?.slice(0, 2));
  return (asked.find((one) => one !== undefined && one in TABLES) as Language | undefined) ?? "en";
}

/** The reader's own way to write numbers and dates, as far as it belongs to the language shown. */
function locale(): string {
  return navigator.languages.find((one) => one.startsWith(language.value)) ?? language.value;
}

export function speak(code: Language): void {
  language.value = code;
  if (code !== preferred()) localStorage.setItem(STORED, code);
  document.documentElement.lang = code;
}

type Values = Record<string, string | number>;

export function t(key: Key, values: Values = {}): string {
  return TABLES[language.value][key].replace(/\{(\w+)\}/g, (all, name: string) => String(values[name] ?? all));
}

type Counted<K> = K extends `${infer Base}.one` ? Base : never;

/** With `n`: the form of the language's plural rules. */
export function count(key: Counted<Key>, n: number, values: Values = {}): string {
  const form = new Intl.PluralRules(locale()).select(n) === "one" ? "one" : "other";
  return t(`${key}.${form}` as Key, { n: new Intl.NumberFormat(locale()).format(n), ...values });
}

export function bytes(size: number): string {
  const [unit, by] = size >= 1e9 ? (["gigabyte", 1e9] as const) : size >= 1e6 ? (["megabyte", 1e6] as const) : (["kilobyte", 1e3] as const);
  const digits = size / by < 10 && by > 1e3 ? 1 : 0;
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits }).format(size / by);
}

export function percent(part: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent" }).format(Math.floor(part * 100) / 100);
}

export function duration(seconds: number): string {
  const [unit, n] = seconds < 90 ? (["second", Math.max(1, Math.ceil(seconds / 5) * 5)] as const) : seconds < 5400 ? (["minute", Math.ceil(seconds / 60)] as const) : (["hour", Math.ceil(seconds / 3600)] as const);
  return new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "long" }).format(n);
}

/** Today only the time, else the day too. */
export function moment(at: number | string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return "";
  const today = date.toDateString() === new Date().toDateString();
  const day = today ? {} : ({ day: "numeric", month: "short", year: "numeric" } as const);
  return new Intl.DateTimeFormat(locale(), { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...day }).format(date);
}

/** A DICOM date (PS3.5 6.2, DA); what isn't one is shown as it is. */
export function dicomDate(text: string): string {
  const parts = /^(\d{4})(\d{2})(\d{2})$/.exec(text);
  if (!parts) return text;
  const date = new Date(Date.UTC(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3])));
  return new Intl.DateTimeFormat(locale(), { dateStyle: "medium", timeZone: "UTC" }).format(date);
}
