import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { fromInput } from "../../ingest/files";
import type { FileRow } from "../../queue/rows";
import { actions, needsItsPage } from "../../upload/rules";
import { cancel, pause, remove, resume, retry, sendWithout } from "../acts";
import type { Key } from "../en";
import { bytes, moment, percent, t } from "../i18n";
import { Ask, Button, Contact, Icon, Notice, Slot } from "../parts";
import { inPacs, standing } from "../standing";
import { addAgain, copied, held, looking, sendDirect } from "../picking";
import { back, mine, online, progress, theQueue, type Shown } from "../state";
import { Looking, what, who } from "./home";

export function StudyScreen({ id }: { id: string }): JSX.Element | null {
  const one = mine.value.find(({ row }) => row.id === id);
  useEffect(() => {
    if (!one) back();
  }, [one]);
  if (!one) return null;
  const { row, meta } = one;
  const how = standing(one, progress.value.get(id), copied.value.get(id), online.value);
  return (
    <main>
      <header class="lead">
        <h1>{who(one)}</h1>
        <p>{what(one)}</p>
      </header>
      {row.status === "success" ? <ReceiptCard one={one} /> : (
        <section class={`card state ${how.tone}`}>
          <p class="how" role="status"><span class="badge"><Icon name={how.icon} /></span>{how.text}</p>
          {how.part !== null && <progress max={1} value={how.part} aria-label={how.text} />}
          {(row.status === "partial" || row.status === "failed") && <Outcomes one={one} />}
        </section>
      )}
      {row.direct && needsItsPage(row) && <Notice kind="info">{t("study.direct")}</Notice>}
      {looking.value && <Looking />}
      <Acts one={one} />
      <dl class="details">
        <div><dt>{t("details.to")}</dt><dd>{meta.to.display_name}{meta.to.contact && <>, <Contact text={meta.to.contact} /></>}</dd></div>
        <div><dt>{t("details.priority")}</dt><dd>{t(`priority.${row.priority}`)}</dd></div>
        <div><dt>{t("details.size")}</dt><dd>{bytes(row.total_bytes)}</dd></div>
        <div><dt>{t("details.added")}</dt><dd>{moment(row.created_at)}</dd></div>
      </dl>
      <Files one={one} />
    </main>
  );
}

function ReceiptCard({ one: { row, meta, receipt } }: { one: Shown }): JSX.Element {
  const { display_name: to, contact } = meta.to;
  const save = (): void => {
    if (!receipt) return;
    const url = URL.createObjectURL(new Blob([receipt.jws], { type: "application/jose" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `receipt-${receipt.id}.jws`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  return (
    <section class="card receipt" aria-labelledby="receipt">
      <span class="badge big"><Icon name="check" /></span>
      <h2 id="receipt">{t("receipt.in", { to, time: moment(receipt?.at || row.changed_at) })}</h2>
      <p>{contact ? <Slot text={t("receipt.told")} slot="contact"><Contact text={contact} /></Slot> : t("receipt.told.nobody")}</p>
      <dl class="details">
        <div><dt>{t("receipt.images")}</dt><dd>{inPacs(row)}</dd></div>
        {receipt && proof(receipt.verification) && <div><dt>{t("receipt.proof")}</dt><dd>{proof(receipt.verification)}</dd></div>}
        {receipt && <div><dt>{t("receipt.number")}</dt><dd class="code">{receipt.id}</dd></div>}
      </dl>
      {receipt && <Button onClick={save}>{t("receipt.save")}</Button>}
    </section>
  );
}

function proof(verification: string): string {
  return ["compared", "queried", "acknowledged"].includes(verification) ? t(`proof.${verification}` as Key) : "";
}

const OUTCOMES = new Set(["stored", "already_there", "rejected", "failed", "skipped", "lost"]);

function Outcomes({ one: { row } }: { one: Shown }): JSX.Element {
  return (
    <dl class="details">
      {Object.entries(row.outcome).filter(([, n]) => n > 0).map(([state, n]) => (
        <div key={state}><dt>{t(OUTCOMES.has(state) ? (`outcome.${state}` as Key) : "outcome.other")}</dt><dd>{n}</dd></div>
      ))}
    </dl>
  );
}

const LACKS_BYTES = new Set(["pick_again", "lost_here", "quota"]);

function Acts({ one: { row, meta } }: { one: Shown }): JSX.Element {
  const [asking, setAsking] = useState<"cancel" | "remove" | null>(null);
  const [problem, setProblem] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const can = actions(row);
  const incomplete = row.status === "stopped" && LACKS_BYTES.has(row.problem?.code ?? "");
  return (
    <>
      <div class="row acts">
        {incomplete && held.value.has(row.id) && <Button kind="main" icon="up" onClick={() => sendDirect([row.id])}>{t("act.direct")}</Button>}
        {incomplete && <Button kind={held.value.has(row.id) ? "plain" : "main"} onClick={() => input.current?.click()}>{t("act.pick")}</Button>}
        {incomplete && <Button onClick={() => void sendWithout(row.id)}>{t("act.without")}</Button>}
        {can.pause && <Button icon="pause" onClick={() => void pause(row.id)}>{t("act.pause")}</Button>}
        {can.resume && <Button kind="main" icon="up" onClick={() => void resume(row.id)}>{t("act.resume")}</Button>}
        {can.retry && !incomplete && <Button onClick={() => void retry(row.id)}>{t("act.retry")}</Button>}
        {can.cancel && <Button kind="quiet" onClick={() => setAsking("cancel")}>{t("act.cancel")}</Button>}
        {can.remove && <Button kind="quiet" onClick={() => setAsking("remove")}>{t("act.remove")}</Button>}
      </div>
      <input ref={input} hidden type="file" multiple onChange={(event) => void addAgain(row.id, fromInput(event.currentTarget))} />
      {problem && <Notice kind="bad">{t("error.offline")}</Notice>}
      {asking === "cancel" && (
        <Ask title={t("cancel.sure")} text={t("cancel.text")} yes={t("cancel.yes")} no={t("cancel.no")} onNo={() => setAsking(null)}
          onYes={() => { setAsking(null); cancel(row.id).then(() => setProblem(false), () => setProblem(true)); }} />
      )}
      {asking === "remove" && (
        <Ask title={t("remove.sure")} text={`${t("remove.text")} ${row.status === "partial" || row.status === "failed" ? t("remove.unsent") : ""}`} yes={t("remove.yes")} no={t("settings.keep")} onNo={() => setAsking(null)}
          onYes={() => { setAsking(null); void remove(row.id); }} />
      )}
      {row.status === "failed" && meta.to.contact && <p class="hint">{t("grant.contact")}: <Contact text={meta.to.contact} /></p>}
    </>
  );
}

const MOST_SHOWN = 300;

function Files({ one: { row } }: { one: Shown }): JSX.Element | null {
  const [files, setFiles] = useState<{ row: FileRow; name: string }[]>([]);
  const [total, setTotal] = useState(0);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    let over = false;
    const load = async (): Promise<void> => {
      const all = await theQueue().files(row.id);
      const first = all.sort((a, b) => Number(Boolean(b.problem)) - Number(Boolean(a.problem))).slice(0, MOST_SHOWN);
      const named = await Promise.all(first.map(async (file) => ({ row: file, name: (await theQueue().fileName(file)).name })));
      named.sort((a, b) => Number(Boolean(b.row.problem)) - Number(Boolean(a.row.problem)) || a.name.localeCompare(b.name, undefined, { numeric: true }));
      if (!over) { setFiles(named); setTotal(all.length); }
    };
    void load();
    return () => { over = true; };
  }, [open, row.changed_at]);
  return (
    <details class="files" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("files.title")} ({row.total_files})</summary>
      <ul>
        {files.map(({ row: file, name }) => (
          <li key={file.id} class={file.problem ? "bad" : ""}><span>{name}</span><span>{fileState(file, row.status === "success")}</span></li>
        ))}
      </ul>
      {total > files.length && <p class="hint">{t("files.more", { n: total - files.length })}</p>}
    </details>
  );
}

function fileState(file: FileRow, inThePacs: boolean): string {
  if (file.problem === "unreadable" || file.problem === "lost_here") return t(`file.problem.${file.problem}`);
  if (file.state === "sent" && inThePacs) return t("file.stored_there");
  if (file.state === "stored" && file.offset > 0) return t("file.part", { percent: percent(file.offset / file.size) });
  return t(`file.${file.state}`);
}
