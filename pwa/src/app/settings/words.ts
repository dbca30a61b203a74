import { book } from "../i18n";
import type { SettingsKey } from "./en";

const words = book<SettingsKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});

export const { t } = words;
