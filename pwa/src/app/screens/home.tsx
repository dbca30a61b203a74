import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { unsent } from "../../queue/keeping";
import { ENDED } from "../../queue/rows";
import { actions, goesBy } from "../../upload/rules";
import { pause, resume, retry, sendAgain } from "../acts";
import { stays, terms, time } from "../device";
import { grant } from "../grants";
import { count, t } from "../i18n";
import { declined, installable } from "../install";
import { useLater } from "../later";
import { Aloud, Bar, Button, Icon, Notice, Tag } from "../parts";
import { copied, held, sendDirect } from "../picking";
import { lifetime, standing, what, who, whose } from "../standing";
import { go, mine, online, others, progress, type Shown } from "../state";
import { DraftCard } from "./draftcard";
import { GrantCard } from "./grantcard";
import { Picker } from "./picker";

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
        <GrantCard />
        <DraftCard />
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
              <bdi>{who(one)}</bdi>
            </Aloud>
            {row.priority !== "routine" && <Tag kind={row.priority}>{t(`priority.${row.priority}`)}</Tag>}
            {row.direct && !ENDED.has(row.status) && <Tag>{t("tag.direct")}</Tag>}
          </strong>
          {whose(one) && <span class="what">{whose(one)}</span>}
          <span class="what">{what(one)}</span>
          <span class="how">{how.text}</span>
          {goes && <span class="goes">{goes}</span>}
        </span>
      </button>
      {how.part !== null && <Bar part={how.part} label={how.text} />}
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
