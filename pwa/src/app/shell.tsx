import type { JSX } from "preact";
import { t } from "./i18n";
import { Button, Icon, Mark, Notice } from "./parts";
import { Home } from "./screens/home";
import { MakeQr } from "./screens/makeqr";
import { Review } from "./screens/review";
import { Settings } from "./screens/settings";
import { StudyScreen } from "./screens/study";
import { GrantProblem, PasteLink, SignIn, Welcome } from "./screens/welcome";
import { scanned } from "./picking";
import { back, go, grant, grantProblem, mine, online, ready, route, session, type Route } from "./state";
import { updateReady, update } from "./update";

export function Shell(): JSX.Element | null {
  if (!ready.value) return null;
  const home = here().at === "home";
  const issuer = session.value !== null && session.value.role !== "uploader";
  return (
    <>
      <header class="bar">
        {home ? (
          <span class="brand"><Mark /> RelayPACS</span>
        ) : (
          <button type="button" class="brand" onClick={back}><Icon name="back" /> {t("nav.back")}</button>
        )}
        <nav>
          {home && issuer && (
            <button type="button" class="nav" onClick={() => go({ at: "makeqr" })} aria-label={t("nav.qr")}><Icon name="qr" /><span>{t("nav.qr")}</span></button>
          )}
          {route.value.at !== "settings" && (
            <button type="button" class="nav" onClick={() => go({ at: "settings" })} aria-label={t("nav.settings")}><Icon name="gear" /></button>
          )}
        </nav>
      </header>
      {!online.value && <div class="strip"><Notice kind="warn">{t("line.off")}</Notice></div>}
      {updateReady.value && (
        <div class="strip"><Notice kind="info">{t("update.ready")} <Button kind="quiet" onClick={update}>{t("update.reload")}</Button></Notice></div>
      )}
      {grantProblem.value && session.value && <div class="strip"><GrantProblem /></div>}
      <Screen />
    </>
  );
}

/** A review whose files are gone, as after a reload, is no place to be. */
function here(): Route {
  return route.value.at === "review" && !scanned.value ? { at: "home" } : route.value;
}

function Screen(): JSX.Element | null {
  const now = here();
  switch (now.at) {
    case "review": return <Review />;
    case "study": return <StudyScreen id={now.id} />;
    case "makeqr": return <MakeQr />;
    case "settings": return <Settings />;
    case "signin": return <main class="narrow"><SignIn /></main>;
    case "home":
      if (session.value || grant.value) return <Home />;
      return mine.value.length > 0 ? <><Home /><main class="narrow"><PasteLink /></main></> : <Welcome />;
  }
}
