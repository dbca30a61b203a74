import { book } from "../i18n";
import type { ObstacleKey } from "./en";

const words = book<ObstacleKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});

export const { t } = words;
export const fetchWords = words.load;
