import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Button, Notice } from "../parts";
import { go, type Route, route, session } from "../state";
import { sentence } from "./gateway";
import { t } from "./words";

const TABS: readonly { at: "codes" | "incoming" | "pacs"; admin: boolean }[] = [
  { at: "codes", admin: false },
  { at: "incoming", admin: true },
  { at: "pacs", admin: true },
];

/** The screens of one desk, side by side for whoever may see more than one. */
export function Frame({ children }: { children: ComponentChildren }): JSX.Element {
  const admin = session.value?.role === "admin";
  return (
    <main class="wide">
      {admin && (
        <nav class="tabs" aria-label={t("desk.nav")}>
          {TABS.map(({ at }) => (
            <button
              key={at}
              type="button"
              aria-current={route.value.at === at ? "page" : undefined}
              onClick={() => go({ at } as Route)}
            >
              {t(`desk.${at}`)}
            </button>
          ))}
        </nav>
      )}
      {children}
    </main>
  );
}

const EVERY_MS = 20_000;

/** What the gateway says now, asked again while somebody looks. */
export function useAsked<T>(
  load: () => Promise<T>,
  about: string,
): { found: T | null; problem: string; again: () => void } {
  const [found, setFound] = useState<T | null>(null);
  const [problem, setProblem] = useState("");
  const [turn, setTurn] = useState(0);
  useEffect(() => setFound(null), [about]);
  useEffect(() => {
    let over = false;
    load().then(
      (told) => {
        if (!over) {
          setFound(() => told);
          setProblem("");
        }
      },
      (error: unknown) => {
        if (!over) setProblem(sentence(error));
      },
    );
    const next = (): void => {
      if (!document.hidden) setTurn((now) => now + 1);
    };
    let timer = setTimeout(next, EVERY_MS);
    // Nobody looks at a hidden tab; whoever comes back sees at once what has become of it.
    const seen = (): void => {
      clearTimeout(timer);
      if (!document.hidden) timer = setTimeout(next);
    };
    document.addEventListener("visibilitychange", seen);
    return () => {
      over = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [about, turn]);
  return { found, problem, again: () => setTurn((now) => now + 1) };
}

export function Trouble({ problem, again }: { problem: string; again: () => void }): JSX.Element | null {
  return problem ? (
    <Notice kind="bad">
      {problem}{" "}
      <Button kind="quiet" onClick={again}>
        {t("desk.refresh")}
      </Button>
    </Notice>
  ) : null;
}
