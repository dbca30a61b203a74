import "../later.css";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { actions, goesBy, lacksBytes, needsItsPage } from "../../upload/rules";
import { askAgain, cancel, pause, remove, resume, retry, sendAgain, sendWithout, sendWithoutNotes } from "../acts";
import { useChoosers } from "../choosers";
import { terms, time } from "../device";
import { grant } from "../grants";
import { bytes, moment } from "../i18n";
import { NotHere, useLater } from "../later";
import { Ask, Bar, Button, Contact, Heading, Icon, Notice } from "../parts";
import { addAgain, copied, held, looking, sendDirect } from "../picking";
import { lifetime, standing, what, who, whose } from "../standing";
import { back, mine, online, progress, type Shown } from "../state";
import { Apart, Files, outcomeText } from "./files";
import { Looking } from "./looking";
import { Written } from "./notes";
import { ReceiptCard } from "./receipt";
import { t } from "./words";

export function StudyScreen({ id }: { id: string }): JSX.Element | null {
  const one = mine.value.find((shown) => shown.row.id === id);
  useEffect(() => {
    if (!one) back();
  }, [one]);
  if (!one) return null;
  const { row, meta } = one;
  const how = standing(one, progress.value.get(id), copied.value.get(id), online.value);
  const goes = terms.value && lifetime(row, terms.value.local_ttl_ms, time.value);
  return (
    <main class="wide study">
      <header class="lead">
        <Heading title={t("title.study")}>
          <bdi>{who(one)}</bdi>
        </Heading>
        {whose(one) && <p>{whose(one)}</p>}
        <p>{what(one)}</p>
      </header>
      <div class="body">
        {row.status === "success" ? (
          <ReceiptCard one={one} />
        ) : (
          <section class={`card state ${how.tone}`}>
            <p class="how" role="status">
              <span class="badge">
                <Icon name={how.icon} />
              </span>
              {how.text}
            </p>
            {how.part !== null && <Bar part={how.part} label={how.text} />}
            {goes && <Notice kind="warn">{goes}</Notice>}
            {(row.status === "partial" || row.status === "failed") && <Outcomes one={one} />}
            <Said one={one} />
          </section>
        )}
        {row.status === "success" && <Said one={one} />}
        {row.direct && needsItsPage(row) && <Notice kind="info">{t("study.direct")}</Notice>}
        {looking.value && <Looking />}
        <Apart one={one} />
      </div>
      <div class="side">
        <Acts one={one} />
        <dl class="details">
          <div>
            <dt>{t("details.to")}</dt>
            <dd>
              <bdi>{meta.to.display_name}</bdi>
              {meta.to.contact && (
                <>
                  , <Contact text={meta.to.contact} />
                </>
              )}
            </dd>
          </div>
          <div>
            <dt>{t("details.priority")}</dt>
            <dd>{t(`priority.${row.priority}`)}</dd>
          </div>
          <div>
            <dt>{t("details.size")}</dt>
            <dd>{bytes(row.total_bytes)}</dd>
          </div>
          <div>
            <dt>{t("details.added")}</dt>
            <dd>{moment(row.created_at)}</dd>
          </div>
        </dl>
        <Written text={one.notes} />
        <Files one={one} />
      </div>
    </main>
  );
}

/** What the gateway says of the upload as a whole: why it is held or was cancelled, and its remarks. */
function Said({ one: { told } }: { one: Shown }): JSX.Element | null {
  const why = told?.held ?? [];
  const remarks = told?.warnings.filter((one) => !one.file_id || one.code === "cancelled_by_admin") ?? [];
  const ofFiles = new Map<string, number>();
  for (const { code, file_id } of told?.warnings ?? [])
    if (file_id && SAID_OF_FILES.has(code)) ofFiles.set(code, (ofFiles.get(code) ?? 0) + 1);
  const any = why.length + remarks.length + ofFiles.size > 0;
  const { module: codes, failed, again } = useLater(() => import("../codes/codes"), any);
  if (failed) return <NotHere again={again} />;
  if (!codes || !any) return null;
  return (
    <ul class="said">
      {why.map((code) => (
        <li key={code}>{codes.said(code)}</li>
      ))}
      {remarks.map(({ code, message }) => (
        <li key={code}>
          {codes.said(code)}
          {code === "cancelled_by_admin" && <q>{message}</q>}
        </li>
      ))}
      {[...ofFiles].map(([code, n]) => (
        <li key={code}>
          {codes.said(code)}
          {n > 1 && <span class="soft"> × {n}</span>}
        </li>
      ))}
    </ul>
  );
}

/** Remarks on files that are in the PACS; the others are listed with what to do. */
const SAID_OF_FILES = new Set([
  "meta_incomplete",
  "meta_mismatch",
  "unknown_sop_class",
  "unknown_transfer_syntax",
  "pixel_data_encoding",
  "missing_pixel_data",
  "missing_patient_id",
  "missing_modality",
  "content_not_compared",
  "duplicate_in_upload",
  "not_yet_visible",
  "pacs_warning",
]);

function Outcomes({ one: { row } }: { one: Shown }): JSX.Element {
  return (
    <dl class="details">
      {Object.entries(row.outcome)
        .filter(([, n]) => n > 0)
        .map(([state, n]) => (
          <div key={state}>
            <dt>{outcomeText(state)}</dt>
            <dd>{n}</dd>
          </div>
        ))}
    </dl>
  );
}

function Acts({ one: { row, meta } }: { one: Shown }): JSX.Element {
  const [asking, setAsking] = useState<"cancel" | "remove" | null>(null);
  const [problem, setProblem] = useState(false);
  const choosers = useChoosers((files) => void addAgain(row.id, files));
  const can = actions(row);
  const incomplete = lacksBytes(row);
  const short = row.status === "partial" || row.status === "failed";
  const code = grant.value;
  return (
    <>
      <div class="row acts">
        {incomplete && held.value.has(row.id) && (
          <Button kind="main" icon="up" onClick={() => sendDirect([row.id])}>
            {t("act.direct")}
          </Button>
        )}
        {incomplete && (
          <Button kind={held.value.has(row.id) ? "plain" : "main"} onClick={choosers.files}>
            {t("act.pick")}
          </Button>
        )}
        {incomplete && choosers.folder && (
          <Button icon="folder" onClick={choosers.folder}>
            {t("act.pick.folder")}
          </Button>
        )}
        {incomplete && <Button onClick={() => void sendWithout(row.id)}>{t("act.without")}</Button>}
        {row.status === "stopped" && row.problem?.code === "notes_not_delivered" && (
          <Button kind="main" icon="up" onClick={() => void sendWithoutNotes(row.id)}>
            {t("act.unnoted")}
          </Button>
        )}
        {can.pause && (
          <Button icon="pause" onClick={() => void pause(row.id)}>
            {t("act.pause")}
          </Button>
        )}
        {can.resume && (
          <Button kind="main" icon="up" onClick={() => void resume(row.id)}>
            {t("act.resume")}
          </Button>
        )}
        {can.again && (
          <Button kind="main" icon="up" onClick={() => void sendAgain(row.id)}>
            {t("act.again")}
          </Button>
        )}
        {code && goesBy(row, code) && (
          <Button kind="main" icon="up" onClick={() => void sendAgain(row.id, code)}>
            {t("act.newcode")}
          </Button>
        )}
        {can.retry && <Button onClick={() => void retry(row.id)}>{t("act.retry")}</Button>}
        {short && (
          <Button icon="again" onClick={() => void askAgain(row.id)}>
            {t("act.ask")}
          </Button>
        )}
        {can.cancel && (
          <Button kind="quiet" onClick={() => setAsking("cancel")}>
            {t("act.cancel")}
          </Button>
        )}
        {can.remove && (
          <Button kind="quiet" onClick={() => setAsking("remove")}>
            {t("act.remove")}
          </Button>
        )}
      </div>
      {choosers.inputs}
      {problem && <Notice kind="bad">{t("error.offline")}</Notice>}
      {asking === "cancel" && (
        <Ask
          title={t("cancel.sure")}
          text={t("cancel.text")}
          yes={t("cancel.yes")}
          no={t("cancel.no")}
          onNo={() => setAsking(null)}
          onYes={() => {
            setAsking(null);
            cancel(row.id).then(
              () => setProblem(false),
              () => setProblem(true),
            );
          }}
        />
      )}
      {asking === "remove" && (
        <Ask
          title={t("remove.sure")}
          text={`${t("remove.text")} ${row.status === "success" || (row.status === "cancelled" && !row.problem) ? "" : t("remove.unsent")}`}
          yes={t("remove.yes")}
          no={t("settings.keep")}
          onNo={() => setAsking(null)}
          onYes={() => {
            setAsking(null);
            void remove(row.id);
          }}
        />
      )}
      {(row.status === "failed" || row.status === "held") && meta.to.contact && (
        <p class="hint">
          {t("grant.contact")}: <Contact text={meta.to.contact} />
        </p>
      )}
    </>
  );
}
