/** Parts of the app that are fetched when somebody needs them, so that the first load stays small. */
import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { t } from "./i18n";
import { Button, Notice } from "./parts";

/** A module; null: it isn't here yet. `failed` says that it can't be had just now. */
export function useLater<T>(
  load: () => Promise<T>,
  wanted = true,
): { module: T | null; failed: boolean; again: () => void } {
  const [module, setModule] = useState<T | null>(null);
  const [failed, setFailed] = useState(false);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    let over = false;
    if (!wanted || module) return;
    setFailed(false);
    load().then(
      (found) => {
        if (!over) setModule(() => found);
      },
      () => {
        if (!over) setFailed(true);
      },
    );
    return () => {
      over = true;
    };
  }, [wanted, tries]);
  return { module, failed, again: () => setTries(tries + 1) };
}

export interface Later<P extends object> {
  (props: P): JSX.Element;
  /** Fetch it while nobody waits for it. */
  fetch(): void;
}

/** A screen in a chunk of its own; at once where it was fetched before. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): Later<P> {
  let known: ComponentType<P> | null = null;
  const loading = async (): Promise<ComponentType<P>> => (known = await load());
  function Screen(props: P): JSX.Element {
    const { module, failed, again } = useLater(loading, known === null);
    const Fetched = known ?? module;
    if (Fetched) return <Fetched {...props} />;
    if (!failed) return <main aria-busy="true" />;
    return (
      <main class="narrow">
        <Notice kind="bad">
          {t("error.offline")}{" "}
          <Button kind="quiet" onClick={again}>
            {t("act.retry")}
          </Button>
        </Notice>
      </main>
    );
  }
  return Object.assign(Screen, { fetch: () => void loading().catch(() => undefined) });
}
