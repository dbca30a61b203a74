/** Codes of the gateway in plain words, and what to do about them. Fetched when there is one to show. */
import { book } from "../i18n";
import type { CodeKey } from "./en";
import { TODO } from "./todo";

const words = book<CodeKey>({
  en: async () => (await import("./en")).en,
  de: async () => (await import("./de")).de,
});

/** A sentence for any code. @param reason the PACS's own, four hex digits */
export function said(code: string, reason = ""): string {
  const plain = words.find(code) ?? words.t("other", { code });
  return reason ? `${plain} ${words.t("reason", { reason })}` : plain;
}

export function todo(code: string): string {
  return words.t(`todo.${TODO[code] ?? "call"}`);
}
