import { book } from "../i18n";
import type { DeskKey } from "./en";

const words = book<DeskKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});

export const { t, count, find } = words;
