/** Parts of the app that are fetched when somebody needs them, so that the first load stays small. */
import type { ComponentType, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { twice } from "../twice";
import { speakAll, t } from "./i18n";
import { Button, Heading, Notice } from "./parts";

/** A part with its styles and its words. @throws NotFetched */
async function part<T>(load: () => Promise<T>): Promise<T> {
  const found = await twice(load);
  await Promise.all([stylesHere(), speakAll()]);
  return found;
}

/** Sheets that didn't come. One that is on its way is left alone: whoever asked for it waits for that very element. */
const broken = new Set<HTMLLinkElement>();
document.addEventListener(
  "error",
  ({ target }) => {
    if (target instanceof HTMLLinkElement) broken.add(target);
  },
  true,
);

/** The build's loader takes a style sheet for here once it was asked for: one that didn't come is asked for again. */
async function stylesHere(): Promise<void> {
  const missing = [...broken].filter(({ rel }) => rel === "stylesheet");
  broken.clear();
  const coming = missing.map(
    (old) =>
      new Promise((done) => {
        const link = old.cloneNode() as HTMLLinkElement;
        link.onload = link.onerror = done; // without it the screen is plain, and says what it has to say
        old.replaceWith(link);
      }),
  );
  await Promise.all(coming);
}

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
    part(load).then(
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

/** In the place of a part that didn't come. */
export function NotHere({ again }: { again: () => void }): JSX.Element {
  return (
    <Notice kind="bad">
      <p>{t("error.part")}</p>
      <Button kind="quiet" onClick={again}>
        {t("act.retry")}
      </Button>
      <Button kind="quiet" onClick={() => location.reload()}>
        {t("update.reload")}
      </Button>
    </Notice>
  );
}

export interface Later<P extends object> {
  (props: P): JSX.Element;
  /** Fetch it while nobody waits for it. */
  fetch(): void;
}

/** A screen in a chunk of its own; at once where it was fetched before. */
export function later<P extends object>(load: () => Promise<ComponentType<P>>): Later<P> {
  let known: ComponentType<P> | null = null;
  function Screen(props: P): JSX.Element {
    const { module, failed, again } = useLater(load, known === null);
    known ??= module;
    const Fetched = known;
    if (Fetched) return <Fetched {...props} />;
    if (!failed) return <main aria-busy="true" />;
    return (
      <main class="narrow">
        <Heading title={t("error.part.title")}>{t("error.part.title")}</Heading>
        <NotHere again={again} />
      </main>
    );
  }
  const fetch = async (): Promise<void> => {
    known ??= await part(load);
  };
  return Object.assign(Screen, { fetch: () => void fetch().catch(() => undefined) });
}
