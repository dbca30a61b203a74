/** What a clinician wants the radiologist to know of each patient: typed in the review, shown again with the upload. */
import type { JSX } from "preact";
import type { Patient } from "../../ingest/group";
import { Field } from "../parts";
import { patientName } from "./patients";
import { t } from "./words";

/** What the gateway takes at most (`clinical_notes`), in characters. */
const MOST = 16_384;

/** By the patient's key. */
type NotesOf = Readonly<Record<string, string>>;

interface NotesProps {
  /** Whose PACS they go into. */
  to: string;
  patients: readonly Patient[];
  notes: NotesOf;
  onNotes: (notes: Record<string, string>) => void;
}

/** For the only patient a field that is there; for several, one for each of them where somebody wants it. */
export function Notes({ to, patients, notes, onNotes }: NotesProps): JSX.Element | null {
  const field = (patient: Patient, label: string): JSX.Element => (
    <Field key={patient.key} label={label}>
      {/* Neither kept by the browser with the session nor sent anywhere to be spelled. */}
      <textarea
        rows={3}
        value={notes[patient.key] ?? ""}
        maxLength={MOST}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => onNotes({ ...notes, [patient.key]: event.currentTarget.value })}
      />
    </Field>
  );
  const hint = <p class="hint">{t("review.notes.hint", { to })}</p>;
  const [only] = patients;
  if (!only) return null;
  if (patients.length === 1)
    return (
      <section class="notes">
        {field(only, t("review.notes"))}
        {hint}
      </section>
    );
  const written = patients.filter((one) => notes[one.key]?.trim()).length;
  return (
    <details class="each">
      <summary>
        {t("review.notes")}
        {written > 0 && ` · ${written}`}
      </summary>
      <div class="notes">
        {hint}
        {patients.map((one) =>
          field(
            one,
            [patientName(one), one.patientId && t("review.id", { id: one.patientId })].filter(Boolean).join(" · "),
          ),
        )}
      </div>
    </details>
  );
}

/** As they were typed; nothing where there are none. */
export function Written({ text }: { text: string }): JSX.Element | null {
  return text ? (
    <details class="written">
      <summary>{t("details.notes")}</summary>
      <p class="text">{text}</p>
    </details>
  ) : null;
}
