import { book, language } from "../i18n";
import type { ObstacleKey } from "./en";

const words = book<ObstacleKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});
await words.load(language.value);

export const { t } = words;
