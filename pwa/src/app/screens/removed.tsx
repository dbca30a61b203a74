import type { JSX } from "preact";
import { at } from "../../upload/place";
import { t } from "../i18n";
import { Button, Heading, Icon } from "../parts";

/** The page is all that is left of it; loading it again would begin anew. */
export function Removed(): JSX.Element {
  return (
    <main class="narrow">
      <section class="card lock-card" aria-labelledby="removed">
        <span class="badge big">
          <Icon name="check" />
        </span>
        <Heading id="removed" title={t("removed.title")}>
          {t("removed.title")}
        </Heading>
        <p class="hint">{t("removed.text")}</p>
        <div class="row center">
          <Button onClick={() => location.replace(at("/"))}>{t("removed.again")}</Button>
        </div>
      </section>
    </main>
  );
}
