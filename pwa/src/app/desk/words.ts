import { book, language } from "../i18n";
import type { DeskKey } from "./en";

const words = book<DeskKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});
await words.load(language.value);

export const { t, count, find } = words;
