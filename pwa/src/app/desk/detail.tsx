import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { said } from "../codes/codes";
import { bytes, moment } from "../i18n";
import { Button, Codeword, Heading, Icon, Notice } from "../parts";
import { Trouble, useAsked } from "./frame";
import { ask, type NewCode, sentence, tell, type Upload, type Whose } from "./gateway";
import { Code, endpointName } from "./makeqr";
import { PatientData } from "./patient";
import { AskReason } from "./reason";
import { TONE } from "./tones";
import { find, t } from "./words";

type Act = "release" | "retry" | "drop" | "reveal";

/** One upload at the gateway: how it stands, why, and what may be done about it. */
export function Detail({ id, onChange }: { id: string; onChange: () => void }): JSX.Element {
  const path = `/admin/uploads/${id}`;
  const { found, problem, again } = useAsked(() => ask<Upload>(path), id);
  const [asking, setAsking] = useState<Act | null>(null);
  const [trouble, setTrouble] = useState("");
  const [code, setCode] = useState<NewCode | null>(null);
  const [whose, setWhose] = useState<Whose | null>(null);
  if (!found) return problem ? <Trouble problem={problem} again={again} /> : <p class="empty" aria-busy="true" />;

  const act = async (what: Act, reason: string, wipe: boolean): Promise<void> => {
    setAsking(null);
    try {
      if (what === "reveal") setWhose(await ask<Whose>(`${path}/reveal`, { method: "POST", body: { reason } }));
      else await tell(`${path}/${what}`, { method: "POST", body: { reason, ...(wipe && { wipe }) } });
      setTrouble("");
    } catch (error) {
      setTrouble(sentence(error, what === "reveal" ? "desk.erased" : "desk.over"));
    }
    again();
    onChange();
  };
  const reopen = (): void =>
    void ask<NewCode>(`${path}/qr`, { method: "POST", body: {} }).then(setCode, (error: unknown) =>
      setTrouble(sentence(error)),
    );
  const { tone, icon } = TONE[found.state];
  return (
    <article class="stack" aria-label={t("in.open", { id })}>
      <section class={`card state ${tone}`}>
        <div class="how">
          <span class="badge">
            <Icon name={icon} />
          </span>
          <div>
            <Heading as="h2">{t(`in.state.${found.state}`)}</Heading>
            <p class="what">{endpointName(found.endpoint_id)}</p>
          </div>
        </div>
        {found.held_reasons.length > 0 && <Reasons title={t("in.why")} codes={found.held_reasons} />}
        <Acts upload={found} revealed={whose !== null} onAct={setAsking} onReopen={reopen} />
      </section>
      {trouble && <Notice kind="bad">{trouble}</Notice>}
      {code && <Code made={code} title={t("do.reopen")} lead={t("do.reopen.lead")} />}
      {whose && <PatientData whose={whose} onHide={() => setWhose(null)} />}
      {found.warnings.length > 0 && (
        <section class="card">
          <Reasons title={t("in.remarks")} codes={found.warnings} />
        </section>
      )}
      <Facts upload={found} />
      {asking && (
        <AskReason act={asking} onNo={() => setAsking(null)} onYes={(reason, wipe) => void act(asking, reason, wipe)} />
      )}
    </article>
  );
}

function Reasons({ title, codes }: { title: string; codes: string[] }): JSX.Element {
  return (
    <div class="reasons">
      <h3>{title}</h3>
      <ul class="said">
        {codes.map((one) => (
          <li key={one}>
            {said(one)}{" "}
            <span class="code soft">
              <Codeword text={one} />
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}

/** What the state allows: docs/states.md. */
function Acts({
  upload,
  revealed,
  onAct,
  onReopen,
}: {
  upload: Upload;
  revealed: boolean;
  onAct: (act: Act) => void;
  onReopen: () => void;
}): JSX.Element {
  const { state, erased_at } = upload;
  const receiving = state === "open" || state === "uploading";
  const ended = state === "partial" || state === "failed";
  const over = state === "success" || state === "cancelled" || state === "expired";
  // Whoever decides looks first: whose it is comes before letting it go.
  const shows = !revealed && !erased_at && !over;
  return (
    <div class="row acts">
      {state === "held" && shows && (
        <Button kind="main" onClick={() => onAct("reveal")}>
          {t("do.reveal")}
        </Button>
      )}
      {state === "held" && (
        <Button kind={shows ? "plain" : "main"} icon="check" onClick={() => onAct("release")}>
          {t("do.release")}
        </Button>
      )}
      {ended && (
        <Button kind="main" icon="again" onClick={() => onAct("retry")}>
          {t("do.retry")}
        </Button>
      )}
      {state !== "held" && shows && <Button onClick={() => onAct("reveal")}>{t("do.reveal")}</Button>}
      {receiving && (
        <Button icon="qr" onClick={onReopen}>
          {t("do.reopen")}
        </Button>
      )}
      {!over && (
        <Button kind="danger" onClick={() => onAct("drop")}>
          {t(receiving || state === "delivering" ? "do.cancel" : "do.drop")}
        </Button>
      )}
    </div>
  );
}

function Facts({ upload }: { upload: Upload }): JSX.Element {
  const { delivery, file_states = {} } = upload;
  const facts: [string, string | null | undefined][] = [
    [
      t("in.received"),
      `${t("in.files", { whole: upload.files.whole, of: upload.files.expected })}, ${bytes(upload.bytes.received)}`,
    ],
    ...Object.entries(file_states).map(([state, n]): [string, string] => [
      `${t("in.byfile")}: ${find(`in.file.${state}`) ?? state}`,
      String(n),
    ]),
    [t("in.created"), moment(upload.created_at)],
    [
      t("in.expires"),
      upload.finished_at || upload.state === "held" || upload.state === "delivering" ? null : moment(upload.expires_at),
    ],
    [t("in.attempts"), delivery && String(delivery.attempts)],
    [t("in.last"), delivery?.last_code],
    [t("in.due"), delivery && upload.state === "delivering" ? moment(delivery.due_at) : null],
    [t("in.finished"), upload.finished_at && moment(upload.finished_at)],
    [t("in.erased"), upload.erased_at && moment(upload.erased_at)],
  ];
  return (
    <dl class="details card">
      {facts
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <Codeword text={value ?? ""} />
            </dd>
          </div>
        ))}
      {upload.pacs_receipt_id && (
        <div>
          <dt>{t("in.receipt")}</dt>
          <dd class="code">{upload.pacs_receipt_id}</dd>
        </div>
      )}
      <div>
        <dt>{t("in.id")}</dt>
        <dd class="code">{upload.upload_id}</dd>
      </div>
    </dl>
  );
}
