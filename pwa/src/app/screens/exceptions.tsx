/** What is not as it should be: the doubts that a person is asked about, and the files that are left out. */
import type { JSX } from "preact";
import { type Doubt, grave } from "../../ingest/doubts";
import type { Left, Patient, Why } from "../../ingest/group";
import { dicomDate } from "../i18n";
import { Icon } from "../parts";
import { patientName } from "./patients";
import { count, t } from "./words";

/** A doubt is asked about when it touches what is to be sent. */
export function toConfirm(doubts: readonly Doubt[], chosen: readonly Patient[]): boolean {
  const keys = new Set(chosen.map((one) => one.key));
  return doubts.some((doubt) => grave(doubt) && (!("keys" in doubt) || doubt.keys.some((key) => keys.has(key))));
}

/** Puts the question before the person's eyes, and before the keyboard. */
export function showQuestion(): void {
  document.getElementById("seen")?.focus();
}

/** Those that doubts are about first, by ID, so that what contradicts stands together; the others by name. */
export function inOrder(patients: readonly Patient[], doubts: readonly Doubt[]): Patient[] {
  const doubtful = new Set(
    doubts.flatMap((doubt) => ("keys" in doubt ? doubt.keys : "key" in doubt ? [doubt.key] : [])),
  );
  const rank = (one: Patient): number => (doubtful.has(one.key) ? 0 : 1);
  const sorted = (one: Patient): [string, string] =>
    rank(one) === 0 ? [one.patientId, patientName(one)] : [patientName(one), one.patientId];
  return [...patients].sort(
    (a, b) => rank(a) - rank(b) || sorted(a)[0].localeCompare(sorted(b)[0]) || sorted(a)[1].localeCompare(sorted(b)[1]),
  );
}

export function Doubts({
  doubts,
  patients,
  asked,
  confirmed,
  onConfirm,
}: {
  doubts: readonly Doubt[];
  patients: readonly Patient[];
  asked: boolean;
  confirmed: boolean;
  onConfirm: (confirmed: boolean) => void;
}): JSX.Element {
  const by = new Map(patients.map((one) => [one.key, one]));
  const lines = doubts.filter(grave).map((doubt) => text(doubt, by));
  const unnamed = doubts.filter((doubt) => doubt.kind === "name_unreadable").length;
  const unnumbered = doubts.filter((doubt) => doubt.kind === "no_id").length;
  if (unnamed > 0) lines.push(count("doubt.name_unreadable", unnamed));
  if (unnumbered > 0) lines.push(count("doubt.no_id", unnumbered));
  return (
    <section class="notice warn doubts" aria-labelledby="doubts">
      <Icon name="warn" />
      <div>
        <h2 id="doubts">{t("doubt.title")}</h2>
        <ul>
          {lines.map((line) => (
            <li key={line}>{line}</li>
          ))}
        </ul>
        {asked && (
          <label class="check">
            <input
              id="seen"
              type="checkbox"
              checked={confirmed}
              onChange={(event) => onConfirm(event.currentTarget.checked)}
            />
            <span>{t("doubt.seen")}</span>
          </label>
        )}
      </div>
    </section>
  );
}

function text(doubt: Doubt, by: ReadonlyMap<string, Patient>): string {
  if (doubt.kind === "two_contents") return count("doubt.two_contents", doubt.images);
  if (!("keys" in doubt)) return "";
  const all = doubt.keys.flatMap((key) => by.get(key) ?? []);
  const values =
    doubt.kind === "names_differ" ? all.map(patientName) : all.map((one) => dicomDate(one.birthDate)).filter(Boolean);
  return t(`doubt.${doubt.kind}`, { id: doubt.patientId, values: [...new Set(values)].sort().join(" / ") });
}

const MOST_LISTED = 200;

export function LeftOut({ left }: { left: readonly Left[] }): JSX.Element {
  const reasons = new Map<Why, number>();
  for (const { why } of left) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  return (
    <details class="card left">
      <summary>
        <span>
          {count("review.left", left.length)}
          <span class="why">{[...reasons].map(([why, n]) => `${n} × ${t(`left.${why}`)}`).join(" · ")}</span>
        </span>
      </summary>
      <ul>
        {left.slice(0, MOST_LISTED).map((one, row) => (
          <li key={row}>
            <span>{one.name}</span>
            <span>{t(`left.${one.why}`)}</span>
          </li>
        ))}
      </ul>
      {left.length > MOST_LISTED && <p class="hint">{t("files.more", { n: left.length - MOST_LISTED })}</p>}
    </details>
  );
}
