/** A review that was left: it goes on where it was. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { everything } from "../choice";
import { choice, endReview, filesAreHere, scanned } from "../draft";
import { count, t } from "../i18n";
import { Ask, Button } from "../parts";
import { go, goHome } from "../state";

export function DraftCard(): JSX.Element | null {
  const [asking, setAsking] = useState(false);
  const found = scanned.value;
  if (!found) return null;
  const all = everything(found.patients).size;
  return (
    <section class="card draft" aria-labelledby="draft">
      <h2 id="draft">{t("draft.title")}</h2>
      <p class="hint">
        {count("review.patients", found.patients.length)} · {count("review.studies", all)}
        {choice.value.size < all && ` · ${t("draft.chosen", { n: choice.value.size })}`}
        {!filesAreHere.value && <span class="goes"> {t("draft.files")}</span>}
      </p>
      <div class="row">
        <Button kind="main" onClick={() => go({ at: "review" })}>
          {t("draft.go")}
        </Button>
        <Button kind="quiet" onClick={() => setAsking(true)}>
          {t("draft.discard")}
        </Button>
      </div>
      {asking && <AskDiscard onNo={() => setAsking(false)} />}
    </section>
  );
}

export function AskDiscard({ onNo }: { onNo: () => void }): JSX.Element {
  return (
    <Ask
      title={t("draft.sure")}
      text={t("draft.text")}
      yes={t("draft.discard")}
      no={t("settings.keep")}
      onNo={onNo}
      onYes={() => {
        onNo();
        goHome();
        void endReview();
      }}
    />
  );
}
