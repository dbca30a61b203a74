import "../later.css";
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Priority } from "../../queue/rows";
import { chosenOf, everything, firstChoice } from "../choice";
import { endpoints } from "../endpoints";
import { grant } from "../grants";
import { bytes, count, t } from "../i18n";
import { Button, Field, Notice, OneOf } from "../parts";
import { pickProblem, scanned, send } from "../picking";
import { back, session, theQueue } from "../state";
import { Doubts, inOrder, LeftOut, showQuestion, toConfirm } from "./exceptions";
import { Notes, type NotesOf } from "./notes";
import { isTable, Patients, useWide } from "./patients";

const PRIORITIES: readonly Priority[] = ["routine", "urgent", "stat"];
const MARGIN_BYTES = 100e6;

interface Sender {
  name?: string;
  phone?: string;
}

export function Review(): JSX.Element | null {
  const found = scanned.value;
  const code = grant.value;
  const wide = useWide();
  const [choice, setChoice] = useState(() => firstChoice(found?.patients ?? [], code !== null));
  const [seen, setSeen] = useState(false);
  const [priority, setPriority] = useState<Priority>("routine");
  const [endpoint, setEndpoint] = useState("");
  const [sender, setSender] = useState<Sender>({});
  const [notes, setNotes] = useState<NotesOf>(new Map());
  const [room, setRoom] = useState<number | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(
    () =>
      void theQueue()
        .recall<Sender>("sender")
        .then((known) => known && setSender(known)),
    [],
  );
  const all = useMemo(() => inOrder(found?.patients ?? [], found?.doubts ?? []), [found]);
  if (!found) return null;

  const patients = chosenOf(all, choice);
  const size = patients.reduce((sum, one) => sum + one.bytes, 0);
  const studies = everything(patients).size;
  const asked = toConfirm(found.doubts, patients);
  const to =
    code ??
    endpoints.value.find((one) => one.endpoint_id === endpoint) ??
    endpoints.value.find((one) => one.default) ??
    endpoints.value[0];

  const confirm = async (direct = false): Promise<void> => {
    if (!to) return;
    if (asked && !seen) return showQuestion();
    setBusy(true);
    const missing = direct ? 0 : await missingRoom(size);
    setRoom(missing);
    if (missing > 0) return setBusy(false);
    if (sender.name || sender.phone) await theQueue().remember("sender", sender);
    await send(
      patients.map((patient) => ({
        patient,
        subject: code?.subject ?? session.value?.subject ?? "",
        endpoint_id: to.endpoint_id,
        to: { display_name: to.display_name, contact: to.contact },
        priority,
        uploader: sender,
        notes: to.takes_notes ? (notes.get(patient.key) ?? "") : "",
        qr: code?.upload_token ?? null,
        direct,
      })),
    );
    setBusy(false);
  };

  return (
    <main class={isTable(found.patients, wide) ? "wide" : ""}>
      <header class="lead">
        <h1>{t("review.title")}</h1>
        {code && found.patients.length > 1 && <p>{t("review.one")}</p>}
      </header>
      {found.doubts.length > 0 && (
        <Doubts doubts={found.doubts} patients={found.patients} asked={asked} confirmed={seen} onConfirm={setSeen} />
      )}
      {found.left.length > 0 && <LeftOut left={found.left} />}
      <Patients
        wide={wide}
        patients={all}
        doubts={found.doubts}
        choice={choice}
        one={code !== null}
        onChoose={setChoice}
      />
      {to?.takes_notes && <Notes to={to.display_name} patients={patients} notes={notes} onNotes={setNotes} />}
      <section class="card stack">
        {code || endpoints.value.length < 2 ? (
          <p class="pair">
            <span>{t("review.to")}</span>
            <strong>{to?.display_name ?? ""}</strong>
          </p>
        ) : (
          <Field label={t("review.to")}>
            <select value={to?.endpoint_id} onChange={(event) => setEndpoint(event.currentTarget.value)}>
              {endpoints.value.map((one) => (
                <option key={one.endpoint_id} value={one.endpoint_id}>
                  {one.display_name}
                </option>
              ))}
            </select>
          </Field>
        )}
        {to?.notice && !code && <p class="hint text">{to.notice}</p>}
        {to && !to.takes_notes && patients.some((one) => notes.get(one.key)?.trim()) && (
          <Notice kind="warn">{t("review.notes.untaken", { to: to.display_name })}</Notice>
        )}
        <OneOf
          legend={t("review.priority")}
          name="priority"
          value={priority}
          onPick={setPriority}
          options={PRIORITIES.map((value) => ({ value, label: t(`priority.${value}`) }))}
        />
        <details>
          <summary>{t("review.who")}</summary>
          <div class="row fields">
            <Field label={t("review.yourname")}>
              <input
                value={sender.name ?? ""}
                autocomplete="name"
                maxLength={100}
                onInput={(event) => setSender({ ...sender, name: event.currentTarget.value })}
              />
            </Field>
            <Field label={t("review.yourphone")}>
              <input
                type="tel"
                value={sender.phone ?? ""}
                autocomplete="tel"
                maxLength={40}
                onInput={(event) => setSender({ ...sender, phone: event.currentTarget.value })}
              />
            </Field>
          </div>
        </details>
      </section>
      <div class="bottom">
        {room !== null && room > 0 && (
          <Notice kind="bad">
            <p>{t("review.room", { size: bytes(room) })}</p>
            <Button kind="quiet" disabled={busy} onClick={() => void confirm(true)}>
              {t("act.direct")}
            </Button>
          </Notice>
        )}
        {pickProblem.value && (
          <Notice kind="bad">{t(pickProblem.value === "quota" ? "problem.quota.queue" : "problem.failed_here")}</Notice>
        )}
        <div class="bottom-acts">
          <Button onClick={back}>{t("review.cancel")}</Button>
          <Button kind="main" icon="up" disabled={patients.length === 0 || !to || busy} onClick={() => void confirm()}>
            {studies ? count("review.send", studies, { size: bytes(size) }) : t("review.nothing")}
          </Button>
        </div>
      </div>
    </main>
  );
}

/** Bytes that this device lacks for a copy; 0: it fits, or nobody can tell. */
async function missingRoom(size: number): Promise<number> {
  const told = await navigator.storage?.estimate?.().catch(() => null);
  if (!told?.quota) return 0;
  return Math.max(0, size * 1.1 + MARGIN_BYTES - (told.quota - (told.usage ?? 0)));
}
