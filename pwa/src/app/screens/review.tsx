import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Patient } from "../../ingest/group";
import type { Priority } from "../../queue/rows";
import { bytes, count, dicomDate, t } from "../i18n";
import { Button, Choice, Field, Notice } from "../parts";
import { pickProblem, scanned, send } from "../picking";
import { back, endpoints, grant, session, theQueue } from "../state";

const PRIORITIES: readonly Priority[] = ["routine", "urgent", "stat"];
const MARGIN_BYTES = 100e6;

interface Sender {
  name?: string;
  phone?: string;
}

export function Review(): JSX.Element | null {
  const found = scanned.value;
  const code = grant.value;
  const [chosen, setChosen] = useState<ReadonlySet<string>>(() => new Set(found && (!code || found.patients.length === 1) ? found.patients.map((one) => one.key) : []));
  const [priority, setPriority] = useState<Priority>("routine");
  const [endpoint, setEndpoint] = useState("");
  const [sender, setSender] = useState<Sender>({});
  const [room, setRoom] = useState<number | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => void theQueue().recall<Sender>("sender").then((known) => known && setSender(known)), []);
  if (!found) return null;

  const patients = found.patients.filter((one) => chosen.has(one.key));
  const size = patients.reduce((sum, one) => sum + one.bytes, 0);
  const studies = patients.reduce((sum, one) => sum + one.studies.length, 0);
  const to = code ?? endpoints.value.find((one) => one.endpoint_id === endpoint) ?? endpoints.value.find((one) => one.default) ?? endpoints.value[0];

  const toggle = (key: string): void => {
    const next = new Set(code ? [] : chosen);
    if (chosen.has(key)) next.delete(key);
    else next.add(key);
    setChosen(next);
  };
  const confirm = async (direct = false): Promise<void> => {
    if (!to) return;
    setBusy(true);
    const missing = direct ? 0 : await missingRoom(size);
    setRoom(missing);
    if (missing > 0) return setBusy(false);
    if (sender.name || sender.phone) await theQueue().remember("sender", sender);
    await send(patients.map((patient) => ({
      patient,
      subject: code?.subject ?? session.value?.subject ?? "",
      endpoint_id: to.endpoint_id,
      to: { display_name: to.display_name, contact: to.contact },
      priority,
      uploader: sender,
      qr: code?.upload_token ?? null,
      direct,
    })));
    setBusy(false);
  };

  return (
    <main>
      <header class="lead">
        <h1>{t("review.title")}</h1>
        {code && found.patients.length > 1 && <p>{t("review.one")}</p>}
      </header>
      <ul class="list">
        {found.patients.map((patient) => (
          <PatientCard key={patient.key} patient={patient} alone={found.patients.length === 1} one={Boolean(code)} chosen={chosen.has(patient.key)} onToggle={() => toggle(patient.key)} />
        ))}
      </ul>
      {found.left.length > 0 && <LeftOut />}
      <section class="card stack">
        {code || endpoints.value.length < 2 ? (
          <p class="pair"><span>{t("review.to")}</span><strong>{to?.display_name ?? ""}</strong></p>
        ) : (
          <Field label={t("review.to")}>
            <select value={to?.endpoint_id} onChange={(event) => setEndpoint(event.currentTarget.value)}>
              {endpoints.value.map((one) => <option key={one.endpoint_id} value={one.endpoint_id}>{one.display_name}</option>)}
            </select>
          </Field>
        )}
        {to?.notice && !code && <p class="hint text">{to.notice}</p>}
        <Choice legend={t("review.priority")} name="priority" value={priority} onPick={setPriority} options={PRIORITIES.map((value) => ({ value, label: t(`priority.${value}`) }))} />
        <details>
          <summary>{t("review.who")}</summary>
          <div class="row fields">
            <Field label={t("review.yourname")}>
              <input value={sender.name ?? ""} autocomplete="name" maxLength={100} onInput={(event) => setSender({ ...sender, name: event.currentTarget.value })} />
            </Field>
            <Field label={t("review.yourphone")}>
              <input type="tel" value={sender.phone ?? ""} autocomplete="tel" maxLength={40} onInput={(event) => setSender({ ...sender, phone: event.currentTarget.value })} />
            </Field>
          </div>
        </details>
      </section>
      {room !== null && room > 0 && (
        <Notice kind="bad">
          <p>{t("review.room", { size: bytes(room) })}</p>
          <Button kind="quiet" disabled={busy} onClick={() => void confirm(true)}>{t("act.direct")}</Button>
        </Notice>
      )}
      {pickProblem.value && <Notice kind="bad">{t(pickProblem.value === "quota" ? "problem.quota.queue" : "problem.failed_here")}</Notice>}
      <div class="bottom">
        <Button onClick={back}>{t("review.cancel")}</Button>
        <Button kind="main" icon="up" disabled={patients.length === 0 || !to || busy} onClick={() => void confirm()}>
          {studies ? count("review.send", studies, { size: bytes(size) }) : t("review.nothing")}
        </Button>
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

function PatientCard({ patient, alone, one, chosen, onToggle }: {
  patient: Patient;
  alone: boolean;
  one: boolean;
  chosen: boolean;
  onToggle: () => void;
}): JSX.Element {
  const about = [patient.patientId && t("review.id", { id: patient.patientId }), patient.birthDate && t("review.born", { date: dicomDate(patient.birthDate) })].filter(Boolean).join(" · ");
  const head = (
    <span class="patient">
      <strong>{patient.name === null ? t("review.noname") : patient.name || t("review.anonymous")}</strong>
      <span>{about}</span>
    </span>
  );
  return (
    <li class={`card patient-card ${chosen ? "" : "off"}`}>
      {alone ? head : (
        <label class="check">
          <input type={one ? "radio" : "checkbox"} name="patient" checked={chosen} onChange={onToggle} />
          {head}
        </label>
      )}
      <ul class="studies">
        {patient.studies.map((study) => (
          <li key={study.uid}>
            <span class="modality">{study.modalities.join(", ") || "–"}</span>
            <span class="study-text">{study.description || t("review.nostudytext")}</span>
            <span class="study-date">{dicomDate(study.date)}</span>
            <span class="study-size">{count("review.images", study.files.length)} · {bytes(study.bytes)}</span>
          </li>
        ))}
      </ul>
    </li>
  );
}

const MOST_LISTED = 200;

function LeftOut(): JSX.Element | null {
  const left = scanned.value?.left ?? [];
  return (
    <details class="card left">
      <summary>{count("review.left", left.length)}</summary>
      <ul>
        {left.slice(0, MOST_LISTED).map((one) => (
          <li key={one.name}><span>{one.name}</span><span>{t(`left.${one.why}`)}</span></li>
        ))}
      </ul>
      {left.length > MOST_LISTED && <p class="hint">{t("files.more", { n: left.length - MOST_LISTED })}</p>}
    </details>
  );
}
