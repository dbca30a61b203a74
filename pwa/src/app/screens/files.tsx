import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { FileRow } from "../../queue/rows";
import { percent } from "../i18n";
import { NotHere, useLater } from "../later";
import { Codeword } from "../parts";
import { type Shown, theQueue } from "../state";
import type { ScreenKey } from "./en";
import { count, t } from "./words";

const MOST_SHOWN = 300;
const MOST_NAMED = 5;
/** What has no outcome of its own was stored. */
const DELIVERED = new Set(["success", "partial", "failed"]);
const IN_THE_PACS = new Set(["stored", "already_there"]);

interface Group {
  code: string;
  reason: string;
  names: string[];
  more: number;
}

/** Files that are not in the PACS, by what is wrong with them, and what to do. */
export function Apart({ one: { row } }: { one: Shown }): JSX.Element | null {
  const [groups, setGroups] = useState<Group[]>([]);
  useEffect(() => {
    let over = false;
    void apart(row.id).then((found) => {
      if (!over) setGroups(found);
    });
    return () => {
      over = true;
    };
  }, [row.id, row.changed_at]);
  const { module: codes, failed, again } = useLater(() => import("../codes/codes"), groups.length > 0);
  if (failed) return <NotHere again={again} />;
  if (!codes || groups.length === 0) return null;
  const all = groups.reduce((sum, { names, more }) => sum + names.length + more, 0);
  return (
    <section aria-labelledby="apart">
      <div class="heading">
        <h2 id="apart">{count("files.apart", all)}</h2>
      </div>
      <ul class="list">
        {groups.map(({ code, reason, names, more }) => (
          <li key={code + reason} class="card apart">
            <p>
              <strong>{codes.said(code, reason)}</strong>
            </p>
            <p class="hint">{codes.todo(code)}</p>
            <ul class="names">
              {names.map((name) => (
                <li key={name}>{name}</li>
              ))}
              {more > 0 && <li>{t("files.more", { n: more })}</li>}
            </ul>
            <p class="code soft">
              <Codeword text={code} />
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

async function apart(study: string): Promise<Group[]> {
  const groups = new Map<string, { code: string; reason: string; files: FileRow[] }>();
  for (const file of await theQueue().files(study)) {
    const { outcome } = file;
    if (!outcome || IN_THE_PACS.has(outcome.state) || outcome.code === "declared") continue;
    const code = outcome.code || outcome.state;
    const key = `${code} ${outcome.reason}`;
    const group = groups.get(key) ?? { code, reason: outcome.reason, files: [] };
    groups.set(key, group);
    group.files.push(file);
  }
  return Promise.all(
    [...groups.values()].map(async ({ code, reason, files }) => {
      const names = await Promise.all(
        files.slice(0, MOST_NAMED).map(async (file) => (await theQueue().fileName(file)).name),
      );
      return { code, reason, names, more: files.length - names.length };
    }),
  );
}

/** Every file and how far it is. */
export function Files({ one: { row } }: { one: Shown }): JSX.Element {
  const [files, setFiles] = useState<{ row: FileRow; name: string }[]>([]);
  const [total, setTotal] = useState(0);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    let over = false;
    const load = async (): Promise<void> => {
      const all = await theQueue().files(row.id);
      const first = all.sort((a, b) => Number(odd(b)) - Number(odd(a))).slice(0, MOST_SHOWN);
      const named = await Promise.all(
        first.map(async (file) => ({ row: file, name: (await theQueue().fileName(file)).name })),
      );
      named.sort(
        (a, b) => Number(odd(b.row)) - Number(odd(a.row)) || a.name.localeCompare(b.name, undefined, { numeric: true }),
      );
      if (!over) {
        setFiles(named);
        setTotal(all.length);
      }
    };
    void load();
    return () => {
      over = true;
    };
  }, [open, row.changed_at]);
  return (
    <details class="files" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        {t("files.title")} ({row.total_files})
      </summary>
      <ul>
        {files.map(({ row: file, name }) => (
          <li key={file.id} class={odd(file) ? "bad" : ""}>
            <span>{name}</span>
            <span>{fileState(file, DELIVERED.has(row.status))}</span>
          </li>
        ))}
      </ul>
      {total > files.length && <p class="hint">{t("files.more", { n: total - files.length })}</p>}
    </details>
  );
}

function odd(file: FileRow): boolean {
  return Boolean(file.problem) || ["rejected", "failed", "lost"].includes(file.outcome?.state ?? "");
}

const OUTCOMES = new Set(["stored", "already_there", "rejected", "failed", "skipped", "lost"]);

export function outcomeText(state: string): string {
  return t(OUTCOMES.has(state) ? (`outcome.${state}` as ScreenKey) : "outcome.other");
}

function fileState(file: FileRow, inThePacs: boolean): string {
  if (file.problem === "unreadable" || file.problem === "lost_here") return t(`file.problem.${file.problem}`);
  if (file.outcome) return outcomeText(file.outcome.state);
  if (file.state === "sent" && inThePacs) return t("file.stored_there");
  if (file.state === "stored" && file.offset > 0) return t("file.part", { percent: percent(file.offset / file.size) });
  return t(`file.${file.state}`);
}
