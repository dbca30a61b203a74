/** What goes with the images, in one card: where to, how urgent, notes, and who sends. */
import type { JSX } from "preact";
import type { Patient } from "../../ingest/group";
import type { Priority } from "../../queue/rows";
import type { Destination } from "../destination";
import { decide, decided, type Sender } from "../draft";
import { endpoints } from "../endpoints";
import { grant } from "../grants";
import { Field, Notice, OneOf } from "../parts";
import { Notes } from "./notes";
import { t } from "./words";

const PRIORITIES: readonly Priority[] = ["routine", "urgent", "stat"];

export function OrderCard({
  to,
  patients,
}: {
  to: Destination | null;
  patients: readonly Patient[];
}): JSX.Element | null {
  const made = decided.value;
  if (!made) return null;
  return (
    <section class="card stack" aria-label={t("review.order")}>
      <Where to={to} />
      <OneOf
        legend={t("review.priority")}
        name="priority"
        value={made.priority}
        onPick={(priority) => decide({ priority })}
        options={PRIORITIES.map((value) => ({ value, label: t(`priority.${value}`) }))}
      />
      {to?.takes_notes && (
        <Notes to={to.display_name} patients={patients} notes={made.notes} onNotes={(notes) => decide({ notes })} />
      )}
      {to && !to.takes_notes && patients.some((one) => made.notes[one.key]?.trim()) && (
        <Notice kind="warn">{t("review.notes.untaken", { to: to.display_name })}</Notice>
      )}
      <Who sender={made.sender} />
    </section>
  );
}

function Where({ to }: { to: Destination | null }): JSX.Element {
  if (grant.value || endpoints.value.length < 2) {
    return (
      <p class="pair">
        <span>{t("review.to")}</span>
        <strong>{to ? <bdi>{to.display_name}</bdi> : "…"}</strong>
      </p>
    );
  }
  return (
    <>
      <Field label={t("review.to")}>
        <select value={to?.endpoint_id} onChange={(event) => decide({ endpoint: event.currentTarget.value })}>
          {endpoints.value.map((one) => (
            <option key={one.endpoint_id} value={one.endpoint_id}>
              {one.display_name}
            </option>
          ))}
        </select>
      </Field>
      {to?.notice && <p class="hint text">{to.notice}</p>}
    </>
  );
}

function Who({ sender }: { sender: Sender }): JSX.Element {
  const change = (part: Sender): void => decide({ sender: { ...sender, ...part } });
  return (
    <details>
      <summary>{t("review.who")}</summary>
      <div class="row fields">
        <Field label={t("review.yourname")}>
          <input
            value={sender.name ?? ""}
            autocomplete="name"
            maxLength={100}
            onInput={(event) => change({ name: event.currentTarget.value })}
          />
        </Field>
        <Field label={t("review.yourphone")}>
          <input
            type="tel"
            value={sender.phone ?? ""}
            autocomplete="tel"
            maxLength={40}
            onInput={(event) => change({ phone: event.currentTarget.value })}
          />
        </Field>
      </div>
    </details>
  );
}
