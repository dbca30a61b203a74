import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { bytes, moment } from "../i18n";
import { Button, Heading, Icon, OneOf } from "../parts";
import { go } from "../state";
import { Detail } from "./detail";
import { Frame, Trouble, useAsked } from "./frame";
import { all, type Upload, type UploadState } from "./gateway";
import { endpointName } from "./makeqr";
import { TONE } from "./tones";
import { t } from "./words";

const FILTERS = {
  attention: ["held", "failed", "partial"],
  moving: ["open", "uploading", "delivering"],
  done: ["success"],
  over: ["cancelled", "expired"],
} as const satisfies Record<string, readonly UploadState[]>;
type Filter = keyof typeof FILTERS;

const PAGE = 40;
/** Held ones first: nothing of them moves until somebody decides. */
const RANK: Partial<Record<UploadState, number>> = { held: 0, failed: 1 };

/** Uploads at the gateway, and one of them beside the list; on a phone in its place. */
export function Incoming({ id }: { id: string | undefined }): JSX.Element {
  const [filter, setFilter] = useState<Filter>("attention");
  const { found, problem, again } = useAsked(
    () => all<Upload>(`/admin/uploads?state=${FILTERS[filter].join(",")}`, "uploads"),
    filter,
  );
  return (
    <Frame>
      <div class={`desk ${id ? "chosen" : ""}`}>
        <div class="desk-list">
          <header class="lead">
            <Heading title={t("in.title")}>{t("in.title")}</Heading>
            <p>{t("in.lead")}</p>
          </header>
          <OneOf
            legend={t("in.filter")}
            name="filter"
            value={filter}
            onPick={setFilter}
            options={(Object.keys(FILTERS) as Filter[]).map((value) => ({ value, label: t(`in.filter.${value}`) }))}
          />
          <Trouble problem={problem} again={again} />
          {found && <List rows={found.rows} more={found.more} filter={filter} id={id} />}
        </div>
        <div class="desk-detail">
          {id ? (
            <Detail key={id} id={id} onChange={again} />
          ) : (
            <p class="empty">
              <Icon name="inbox" />
              {t("in.choose")}
            </p>
          )}
        </div>
      </div>
    </Frame>
  );
}

function List({
  rows,
  more,
  filter,
  id,
}: {
  rows: Upload[];
  more: boolean;
  filter: Filter;
  id: string | undefined;
}): JSX.Element {
  const [shown, setShown] = useState(PAGE);
  if (rows.length === 0)
    return (
      <p class="empty">
        <Icon name="check" />
        {t(`in.none.${filter}`)}
      </p>
    );
  const sorted = [...rows].sort((a, b) => (RANK[a.state] ?? 2) - (RANK[b.state] ?? 2));
  return (
    <>
      <ul class="list lines">
        {sorted.slice(0, shown).map((row) => (
          <li key={row.upload_id} class={`entry ${TONE[row.state].tone} ${row.upload_id === id ? "here" : ""}`}>
            <button
              type="button"
              class="entry-open"
              aria-current={row.upload_id === id ? "true" : undefined}
              onClick={() => go({ at: "incoming", id: row.upload_id })}
            >
              <span class="badge">
                <Icon name={TONE[row.state].icon} />
              </span>
              <span class="entry-text">
                <strong>{t(`in.state.${row.state}`)}</strong>
                <span class="what">{endpointName(row.endpoint_id)}</span>
                <span class="what">
                  {[
                    t("in.files", { whole: row.files.whole, of: row.files.expected }),
                    bytes(row.bytes.received),
                    moment(row.created_at),
                  ].join(" · ")}
                </span>
              </span>
            </button>
          </li>
        ))}
      </ul>
      {rows.length > shown && (
        <div class="row center more">
          <Button onClick={() => setShown(shown + PAGE)}>{t("desk.more")}</Button>
        </div>
      )}
      {more && <p class="hint">{t("in.many", { n: rows.length })}</p>}
    </>
  );
}
