/** How the looking at picked files goes. */
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { count, t } from "../i18n";
import { Button, Notice } from "../parts";
import { looking, pickProblem, stopLooking } from "../picking";

export function Looking(): JSX.Element | null {
  const place = useRef<HTMLDivElement>(null);
  // What was pressed is gone: whoever uses the keyboard finds the way to stop it.
  useEffect(() => {
    if (document.activeElement === document.body)
      place.current?.querySelector("button")?.focus({ preventScroll: true });
  }, []);
  const now = looking.value;
  if (!now) return null;
  return (
    <div class="stack" ref={place}>
      <p role="status">{t("pick.looking")}</p>
      <progress max={now.of} value={now.done} aria-label={t("pick.looking")} />
      <div class="row center">
        <p class="hint figures">{t("pick.looked", now)}</p>
        <Button kind="quiet" onClick={stopLooking}>
          {t("pick.stop")}
        </Button>
      </div>
    </div>
  );
}

/** What went wrong with the files that were chosen. */
export function PickTrouble(): JSX.Element | null {
  const problem = pickProblem.value;
  switch (problem?.why) {
    case "none":
      return (
        <Notice kind="warn">
          {t("pick.none")} {count("review.left", problem.left)}.
        </Notice>
      );
    case "nothing":
      return <Notice kind="warn">{t("pick.nothing")}</Notice>;
    case "quota":
      return <Notice kind="bad">{t("problem.quota.queue")}</Notice>;
    case "part":
      return <Notice kind="bad">{t("error.part")}</Notice>;
    case "failed_here":
      return <Notice kind="bad">{t("problem.failed_here")}</Notice>;
    default:
      return null;
  }
}
