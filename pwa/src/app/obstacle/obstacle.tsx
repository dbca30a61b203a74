import { render } from "preact";
import { useState } from "preact/hooks";
import type { JSX } from "preact/jsx-runtime";
import { forgetRest } from "../emptying";
import { language } from "../i18n";
import { lacking, type Obstacle, obstacleOf } from "./what";
import { fetchWords, t } from "./words";

/** In place of the app: what is the matter, and what helps. @param error that the start threw, or a screen */
export async function tellObstacle(root: HTMLElement, error: unknown): Promise<void> {
  await fetchWords(language.value);
  document.documentElement.lang = language.value;
  render(<Screen {...(lacking(globalThis) ?? obstacleOf(error))} />, root);
}

/** What is stored here is of no use any more. */
const REMOVABLE = new Set(["key", "broken"]);

// Its buttons are its own: what other screens are made of is in the first load, and stays in one piece there.
function Screen({ kind, detail }: Obstacle): JSX.Element {
  const [asking, setAsking] = useState(false);
  return (
    <main class="narrow obstacle">
      <section class="card stack" aria-labelledby="obstacle">
        <h1 id="obstacle">{t(`obstacle.${kind}`)}</h1>
        <p>{t(`obstacle.${kind}.what`)}</p>
        <p>{t(`obstacle.${kind}.help`)}</p>
        {asking ? (
          <>
            <div class="notice warn" role="alert">
              <p>{t("obstacle.remove.text")}</p>
            </div>
            <div class="row">
              <button type="button" class="button danger" onClick={() => void removeAndReload()}>
                {t("obstacle.remove.yes")}
              </button>
              <button type="button" class="button plain" onClick={() => setAsking(false)}>
                {t("obstacle.remove.no")}
              </button>
            </div>
          </>
        ) : (
          <div class="row">
            <button type="button" class="button main" onClick={() => location.reload()}>
              {t("obstacle.reload")}
            </button>
            {REMOVABLE.has(kind) && (
              <button type="button" class="button plain" onClick={() => setAsking(true)}>
                {t("obstacle.remove")}
              </button>
            )}
          </div>
        )}
        {detail && <p class="code soft">{detail}</p>}
      </section>
    </main>
  );
}

async function removeAndReload(): Promise<void> {
  // If it stays, the next start says so.
  await new Promise((done) => {
    const deleting = indexedDB.deleteDatabase("relaypacs");
    deleting.onsuccess = deleting.onerror = deleting.onblocked = done;
  });
  await forgetRest().catch(() => null);
  location.reload();
}
