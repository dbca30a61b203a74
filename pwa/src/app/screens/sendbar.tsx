/** The foot of the review: Send, and, where it can't be pressed, why that is and what helps. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Destination } from "../destination";
import { decided, filesAreHere } from "../draft";
import { askEndpoints, endpointsKnown } from "../endpoints";
import { grant, grantTrouble } from "../grants";
import { bytes } from "../i18n";
import { Button, Notice } from "../parts";
import { go, session } from "../state";
import { Choose } from "./choose";
import { AskDiscard } from "./draftcard";
import { PickTrouble } from "./looking";
import { count, t } from "./words";

interface SendBarProps {
  to: Destination | null;
  studies: number;
  /** Bytes that are missing for a copy. */
  room: number;
  busy: boolean;
  onSend: (direct: boolean) => void;
}

export function SendBar({ to, studies, room, busy, onSend }: SendBarProps): JSX.Element {
  const why = <Obstacle to={to} />;
  const able = to !== null && filesAreHere.value;
  const priority = t(`priority.${decided.value?.priority ?? "routine"}`);
  return (
    <div class="bottom">
      {room > 0 && (
        <Notice kind="bad">
          <p>{t("review.room", { size: bytes(room) })}</p>
          <Button kind="quiet" disabled={busy} onClick={() => onSend(true)}>
            {t("act.direct")}
          </Button>
        </Notice>
      )}
      <PickTrouble />
      {!able && why}
      <div class="bottom-acts">
        <Discard />
        <Button kind="main" icon="up" disabled={studies === 0 || !able || busy} onClick={() => onSend(false)}>
          {studies ? count("review.send", studies, { priority }) : t("review.nothing")}
        </Button>
      </div>
    </div>
  );
}

/** Why it can't be sent just now; whatever can be waited for comes by itself. */
function Obstacle({ to }: { to: Destination | null }): JSX.Element | null {
  const code = grant.value;
  if (!filesAreHere.value) return <FilesAgain />;
  if (to) return null;
  if (code)
    return (
      <Notice kind={grantTrouble.value ? "warn" : "info"}>{t(`grant.${grantTrouble.value ?? "checking"}`)}</Notice>
    );
  if (!session.value) {
    return (
      <Notice kind="warn">
        {t("why.signed_out")}{" "}
        <Button kind="quiet" onClick={() => go({ at: "signin" })}>
          {t("signin.go")}
        </Button>
      </Notice>
    );
  }
  if (endpointsKnown.value) return <Notice kind="warn">{t("why.nowhere")}</Notice>;
  return (
    <Notice kind="warn">
      {t("why.unknown")}{" "}
      <Button kind="quiet" onClick={() => void askEndpoints()}>
        {t("act.retry")}
      </Button>
    </Notice>
  );
}

/** After a reload: what was decided is here, the files aren't. */
function FilesAgain(): JSX.Element {
  return (
    <Notice kind="info">
      <Choose kind="plain">
        <p>{t("why.files")}</p>
      </Choose>
    </Notice>
  );
}

/** What was chosen and written goes only when a person says so twice. */
function Discard(): JSX.Element {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <Button kind="quiet" onClick={() => setAsking(true)}>
        {t("draft.discard")}
      </Button>
      {asking && <AskDiscard onNo={() => setAsking(false)} />}
    </>
  );
}
