import type { JSX } from "preact";
import { decline, install, installable } from "../install";
import { Button } from "../parts";
import { theQueue } from "../state";
import { t } from "./words";

/** Offered when something has arrived and nothing waits: on iOS an installed app has stores of its own. */
export function InstallCard(): JSX.Element {
  return (
    <section class="card quiet stack" aria-labelledby="install">
      <h2 id="install">{t("install.title")}</h2>
      <InstallWays />
      <div class="row">
        {installable.value === "prompt" && (
          <Button icon="down" onClick={() => void install()}>
            {t("install.go")}
          </Button>
        )}
        <Button kind="quiet" onClick={() => void decline(theQueue())}>
          {t(installable.value === "prompt" ? "install.no" : "install.seen")}
        </Button>
      </div>
    </section>
  );
}

/** How, in the words of the browser at hand. */
export function InstallWays(): JSX.Element {
  return <p class="hint">{t(installable.value === "share" ? "install.share" : "install.lead")}</p>;
}
