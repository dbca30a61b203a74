import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { fromDrop } from "../../ingest/files";
import { unsent } from "../../queue/keeping";
import { ENDED } from "../../queue/rows";
import { actions, goesBy } from "../../upload/rules";
import { pause, resume, retry, sendAgain } from "../acts";
import { useChoosers } from "../choosers";
import { stays, terms, time } from "../device";
import { grant, leaveGrant } from "../grants";
import { bytes, count, dicomDate, moment, t } from "../i18n";
import { declined, installable } from "../install";
import { useLater } from "../later";
import { Aloud, Button, Contact, Icon, Notice } from "../parts";
import { add, copied, held, looking, pickProblem, scanned, sendDirect } from "../picking";
import { lifetime, standing } from "../standing";
import { go, mine, online, others, progress, type Shown } from "../state";

/** From so many on, the list can be looked at in parts. */
const MANY = 8;

const PARTS = {
  all: () => true,
  moving: ({ row }: Shown) => ["reading", "queued", "sending", "delivering"].includes(row.status),
  attention: ({ row }: Shown) => ["stopped", "held", "partial", "failed"].includes(row.status),
  done: ({ row }: Shown) => row.status === "success",
} as const satisfies Record<string, (one: Shown) => boolean>;
type Part = keyof typeof PARTS;

export function Home({ children }: { children?: ComponentChildren }): JSX.Element {
  const rows = mine.value;
  const busy = rows.some(({ row }) => ["reading", "queued", "sending"].includes(row.status));
  const [chosen, setChosen] = useState<Part>("all");
  const parts = (Object.keys(PARTS) as Part[]).map((one) => ({ part: one, n: rows.filter(PARTS[one]).length }));
  const part = parts.some((one) => one.part === chosen && one.n > 0) ? chosen : "all";
  return (
    <main class={rows.length > 0 ? "wide home" : "home"}>
      <div class="add">
        {grant.value && <GrantCard />}
        <Picker />
        {held.value.size > 0 && <NoRoom />}
        {rows.length === 0 && <p class="hint">{t("list.empty")}</p>}
      </div>
      {rows.length > 0 && (
        <section aria-labelledby="list">
          <div class="heading">
            <h2 id="list">{t("list.title")}</h2>
            {busy && <p class="hint">{t("list.keep")}</p>}
          </div>
          {busy && stays.value === false && <Notice kind="warn">{t("list.unkept")}</Notice>}
          {rows.length >= MANY && (
            <fieldset class="parts" aria-label={t("list.parts")}>
              {parts
                .filter(({ n }) => n > 0)
                .map((one) => (
                  <button
                    key={one.part}
                    type="button"
                    aria-pressed={one.part === part}
                    onClick={() => setChosen(one.part)}
                  >
                    {t(`list.part.${one.part}`)} <b>{one.n}</b>
                  </button>
                ))}
            </fieldset>
          )}
          <ul class="list">
            {rows.filter(PARTS[part]).map((one) => (
              <Row key={one.row.id} one={one} />
            ))}
          </ul>
        </section>
      )}
      {children}
      <Install />
      {others.value > 0 && <p class="hint">{count("other.rows", others.value)}</p>}
    </main>
  );
}

/** Offered once something has arrived, and nothing waits that a store of its own would not have. */
function Install(): JSX.Element | null {
  const fitting = mine.value.some(({ row }) => row.status === "success") && !mine.value.some(({ row }) => unsent(row));
  const wanted = fitting && installable.value !== null && !declined.value;
  const { module: Card } = useLater(async () => (await import("../settings")).InstallCard, wanted);
  return wanted && Card ? <Card /> : null;
}

function GrantCard(): JSX.Element | null {
  const code = grant.value;
  if (!code) return null;
  return (
    <section class="card grant" aria-labelledby="grant">
      <p class="over">{t("grant.for")}</p>
      <h1 id="grant">{code.display_name}</h1>
      {code.contact && (
        <p>
          {t("grant.contact")}: <Contact text={code.contact} />
        </p>
      )}
      {code.notice && <p class="text">{code.notice}</p>}
      <p class="hint">
        {t("grant.once")} {t("grant.until", { time: moment(code.expires_at) })}
      </p>
      <Button kind="quiet" onClick={() => void leaveGrant()}>
        {t("grant.leave")}
      </Button>
    </section>
  );
}

export function Picker(): JSX.Element {
  const [over, setOver] = useState(false);
  const choosers = useChoosers((files) => void add(files));
  const Heading = grant.value ? "h2" : "h1";
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    setOver(false);
    if (event.dataTransfer) void fromDrop(event.dataTransfer).then(add);
  };
  return (
    <section
      class={`picker ${over ? "over" : ""}`}
      aria-labelledby="pick"
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Icon name="inbox" />
      <Heading id="pick">{over ? t("pick.drop") : t("pick.title")}</Heading>
      {looking.value ? (
        <Looking />
      ) : (
        <>
          <p class="for-mouse">{t("pick.lead")}</p>
          <p class="for-touch">{t("pick.lead.touch")}</p>
          <div class="row center">
            <Button kind="main" icon="file" onClick={choosers.files}>
              {t("pick.files")}
            </Button>
            {choosers.folder && (
              <Button icon="folder" onClick={choosers.folder}>
                {t("pick.folder")}
              </Button>
            )}
          </div>
        </>
      )}
      {choosers.inputs}
      {scanned.value?.patients.length === 0 && (
        <Notice kind="warn">
          {t("pick.none")} {count("review.left", scanned.value.left.length)}.
        </Notice>
      )}
      {pickProblem.value === "nothing" && <Notice kind="warn">{t("pick.nothing")}</Notice>}
      {pickProblem.value === "quota" && <Notice kind="bad">{t("problem.quota.queue")}</Notice>}
      {pickProblem.value === "failed_here" && <Notice kind="bad">{t("problem.failed_here")}</Notice>}
    </section>
  );
}

/** Uploads that found no room while they were copied; this page still has their files. */
function NoRoom(): JSX.Element {
  return (
    <Notice kind="bad">
      <p>
        {count("held", held.value.size)} {t("held.text")}
      </p>
      <Button kind="quiet" onClick={() => sendDirect([...held.value])}>
        {t("act.direct")}
      </Button>
    </Notice>
  );
}

export function Looking(): JSX.Element | null {
  const now = looking.value;
  if (!now) return null;
  return (
    <div class="stack" role="status">
      <p>
        {t("pick.looking")} · {t("pick.looked", now)}
      </p>
      <progress max={now.of} value={now.done} aria-label={t("pick.looking")} />
    </div>
  );
}

export function who({ meta }: Shown): string {
  if (meta.patient.name === null) return t("review.noname");
  return meta.patient.name || t("review.anonymous");
}

/** "CT, MR · 28 images · 15 MB · 3 Mar 2024" */
export function what({ row, meta }: Shown): string {
  const kinds = [...new Set(meta.studies.flatMap((study) => study.modalities))].join(", ");
  const date = meta.studies.length === 1 ? dicomDate(meta.studies[0]?.date ?? "") : "";
  return [kinds, count("review.images", row.total_files), bytes(row.total_bytes), date].filter(Boolean).join(" · ");
}

function Row({ one }: { one: Shown }): JSX.Element {
  const { row } = one;
  const how = standing(one, progress.value.get(row.id), copied.value.get(row.id), online.value);
  const can = actions(row);
  const code = grant.value;
  const goes = terms.value && lifetime(row, terms.value.local_ttl_ms, time.value);
  return (
    <li class={`entry ${how.tone}`}>
      <button type="button" class="entry-open" onClick={() => go({ at: "study", id: row.id })}>
        <span class="badge">
          <Icon name={how.icon} />
        </span>
        <span class="entry-text">
          <strong>
            <Aloud text={t("study.open")} slot="name">
              {who(one)}
            </Aloud>
            {row.priority !== "routine" && <span class={`tag ${row.priority}`}>{t(`priority.${row.priority}`)}</span>}
            {row.direct && !ENDED.has(row.status) && <span class="tag">{t("tag.direct")}</span>}
          </strong>
          <span class="what">{what(one)}</span>
          <span class="how">{how.text}</span>
          {goes && <span class="goes">{goes}</span>}
        </span>
      </button>
      {how.part !== null && <progress max={1} value={how.part} aria-label={how.text} />}
      {(can.pause || can.resume || can.retry || can.again || goesBy(row, code)) && (
        <div class="entry-acts">
          {can.pause && (
            <Button kind="quiet" onClick={() => void pause(row.id)}>
              {t("act.pause")}
            </Button>
          )}
          {can.resume && (
            <Button kind="quiet" onClick={() => void resume(row.id)}>
              {t("act.resume")}
            </Button>
          )}
          {can.again && (
            <Button kind="quiet" onClick={() => void sendAgain(row.id)}>
              {t("act.again")}
            </Button>
          )}
          {code && goesBy(row, code) && (
            <Button kind="quiet" onClick={() => void sendAgain(row.id, code)}>
              {t("act.newcode")}
            </Button>
          )}
          {can.retry && (
            <Button kind="quiet" onClick={() => void retry(row.id)}>
              {t("act.retry")}
            </Button>
          )}
        </div>
      )}
    </li>
  );
}
