import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { endpoints } from "../endpoints";
import { moment } from "../i18n";
import { Ask, Button, Heading, Icon, Notice } from "../parts";
import { go, session } from "../state";
import { Frame, Trouble, useAsked } from "./frame";
import { all, type QrCode, sentence, tell } from "./gateway";
import { endpointName, MakeQr } from "./makeqr";
import { t } from "./words";

const PAGE = 30;
const RANK = { open: 0, used: 1, expired: 2, revoked: 2 };

export function Codes(): JSX.Element {
  const { found, problem, again } = useAsked(() => all<QrCode>("/qr", "qr_codes"), "codes");
  return (
    <Frame>
      <header class="lead">
        <Heading title={t("qr.title")}>{t("qr.title")}</Heading>
        <p>{t("qr.lead")}</p>
      </header>
      <div class="beside">
        <MakeQr onMade={again} />
        <section aria-labelledby="codes">
          <div class="heading">
            <h2 id="codes">{t("codes.title")}</h2>
          </div>
          <Trouble problem={problem} again={again} />
          {found && <Listed codes={found.rows.sort((a, b) => RANK[a.state] - RANK[b.state])} onChange={again} />}
        </section>
      </div>
    </Frame>
  );
}

function Listed({ codes, onChange }: { codes: QrCode[]; onChange: () => void }): JSX.Element {
  const [shown, setShown] = useState(PAGE);
  const [revoking, setRevoking] = useState<QrCode | null>(null);
  const [problem, setProblem] = useState("");
  if (codes.length === 0)
    return (
      <p class="empty">
        <Icon name="qr" />
        {t("codes.none")}
      </p>
    );
  const revoke = async ({ qr_id }: QrCode): Promise<void> => {
    setRevoking(null);
    await tell(`/qr/${qr_id}`, { method: "DELETE" }).then(
      () => setProblem(""),
      (error: unknown) => setProblem(sentence(error)),
    );
    onChange();
  };
  return (
    <>
      {problem && <Notice kind="bad">{problem}</Notice>}
      <ul class="list lines">
        {codes.slice(0, shown).map((code) => (
          <Line key={code.qr_id} code={code} onRevoke={() => setRevoking(code)} />
        ))}
      </ul>
      {codes.length > shown && (
        <div class="row center more">
          <Button onClick={() => setShown(shown + PAGE)}>{t("desk.more")}</Button>
        </div>
      )}
      {revoking && (
        <Ask
          title={t("codes.revoke.sure")}
          text={t("codes.revoke.text")}
          yes={t("codes.revoke")}
          no={t("codes.keep")}
          onNo={() => setRevoking(null)}
          onYes={() => void revoke(revoking)}
        />
      )}
    </>
  );
}

function Line({ code, onRevoke }: { code: QrCode; onRevoke: () => void }): JSX.Element {
  const { state, label, upload_id } = code;
  const name = label || t("codes.nolabel");
  const about = [
    endpoints.value.length > 1 && endpointName(code.endpoint_id),
    t("codes.made", { time: moment(code.created_at) }),
    state === "open" && upload_id && t("codes.reopen"),
  ];
  return (
    <li class={`entry line ${state === "open" ? "busy" : ""}`}>
      <span class="badge">
        <Icon name={state === "open" ? "qr" : state === "used" ? "check" : state === "expired" ? "clock" : "stop"} />
      </span>
      <span class="entry-text">
        <strong class={label ? "" : "soft"}>{name}</strong>
        <span class="what">{about.filter(Boolean).join(" · ")}</span>
        <span class="how">{t(`codes.state.${state}`, { time: moment(code.expires_at) })}</span>
      </span>
      {state === "open" && (
        <Button kind="quiet" label={t("codes.revoke.of", { label: name })} onClick={onRevoke}>
          {t("codes.revoke")}
        </Button>
      )}
      {state === "used" && upload_id && session.value?.role === "admin" && (
        <Button kind="quiet" onClick={() => go({ at: "incoming", id: upload_id })}>
          {t("codes.show")}
        </Button>
      )}
    </li>
  );
}
