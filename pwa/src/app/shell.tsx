import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Announcer } from "./announcer";
import { forgetWiped, wiped } from "./device";
import { scanned } from "./draft";
import { grant, grantProblem } from "./grants";
import { count, moment, t } from "./i18n";
import { later } from "./later";
import { locked } from "./lock";
import { Button, Icon, Mark, Notice } from "./parts";
import { needsThisPage } from "./picking";
import { removed } from "./removal";
import { Home } from "./screens/home";
import { Removed } from "./screens/removed";
import { GrantProblem, PasteLink, SignIn, Welcome } from "./screens/welcome";
import { back, go, mine, online, type Route, route, session } from "./state";
import { update, updateReady } from "./update";

const Review = later(async () => (await import("./screens/review")).Review);
const StudyScreen = later(async () => (await import("./screens/study")).StudyScreen);
const Lock = later(async () => (await import("./settings")).Lock);
const Settings = later(async () => (await import("./settings")).Settings);
const Codes = later(async () => (await import("./desk")).Codes);
const Incoming = later(async () => (await import("./desk")).Incoming);
const Pacs = later(async () => (await import("./desk")).Pacs);

const FIRST_LOOK_MS = 1_000;

export function Shell(): JSX.Element {
  // Whoever goes off the net after the first look finds these screens here all the same.
  useEffect(() => {
    const timer = setTimeout(() => {
      for (const screen of [Review, StudyScreen, Lock, Settings]) screen.fetch();
    }, FIRST_LOOK_MS);
    return () => clearTimeout(timer);
  }, []);
  if (removed.value) return <Removed />;
  if (locked.value) return <Lock />;
  const home = here().at === "home";
  const issuer = session.value !== null && session.value.role !== "uploader";
  return (
    <>
      <header class="bar">
        {home ? (
          <span class="brand">
            <Mark /> RelayPACS
          </span>
        ) : (
          <button type="button" class="brand" onClick={back}>
            <Icon name="back" /> {t("nav.back")}
          </button>
        )}
        <nav>
          {home && issuer && (
            <button type="button" class="nav" onClick={() => go({ at: "codes" })} aria-label={t("nav.qr")}>
              <Icon name="qr" />
              <span>{t("nav.qr")}</span>
            </button>
          )}
          {home && session.value?.role === "admin" && (
            <button type="button" class="nav" onClick={() => go({ at: "incoming" })} aria-label={t("nav.incoming")}>
              <Icon name="inbox" />
              <span>{t("nav.incoming")}</span>
            </button>
          )}
          {route.value.at !== "settings" && (
            <button type="button" class="nav" onClick={() => go({ at: "settings" })} aria-label={t("nav.settings")}>
              <Icon name="gear" />
            </button>
          )}
        </nav>
      </header>
      {!online.value && (
        <div class="strip">
          <Notice kind="warn">{t("line.off")}</Notice>
        </div>
      )}
      {updateReady.value && (
        <div class="strip">
          <Notice kind="info">
            {t("update.ready")}{" "}
            {needsThisPage.value ? (
              t("update.later")
            ) : (
              <Button kind="quiet" onClick={update}>
                {t("update.reload")}
              </Button>
            )}
          </Notice>
        </div>
      )}
      {wiped.value && (
        <div class="strip">
          <Notice kind="warn">
            {count("wiped", wiped.value.uploads, { time: moment(wiped.value.at) })}{" "}
            <Button kind="quiet" onClick={() => void forgetWiped()}>
              {t("wiped.seen")}
            </Button>
          </Notice>
        </div>
      )}
      {grantProblem.value && (session.value || grant.value || !home) && (
        <div class="strip">
          <GrantProblem />
        </div>
      )}
      <Screen />
      <Announcer />
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
    case "review":
      return <Review />;
    case "study":
      return <StudyScreen id={now.id} />;
    case "codes":
      return <Codes />;
    case "incoming":
      return <Incoming id={now.id} />;
    case "pacs":
      return <Pacs />;
    case "settings":
      return <Settings />;
    case "signin":
      return (
        <main class="narrow">
          <SignIn alone />
        </main>
      );
    case "home":
      if (session.value || grant.value) return <Home />;
      return mine.value.length > 0 ? (
        <Home>
          <PasteLink />
        </Home>
      ) : (
        <Welcome />
      );
  }
}
