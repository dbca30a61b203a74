import type { JSX } from "preact";
import type { Priority } from "../../queue/rows";
import { dicomDate, t as say } from "../i18n";
import { Button } from "../parts";
import type { Whose } from "./gateway";
import { find, t } from "./words";

/** Whose upload it is: asked for with a reason, kept nowhere, gone when the screen is left. */
export function PatientData({ whose, onHide }: { whose: Whose; onHide: () => void }): JSX.Element {
  return (
    <section class="card stack" aria-labelledby="whose">
      <div class="heading">
        <h2 id="whose">{t("whose.title")}</h2>
        <Button kind="quiet" onClick={onHide}>
          {t("do.hide")}
        </Button>
      </div>
      <div class="sides">
        {Object.keys(whose.expected).length > 0 && <Side title={t("whose.expected")} fields={whose.expected} />}
        <Side title={t("whose.declared")} fields={whose.study_metadata} />
        {whose.patients.map((one, at) => (
          <Side key={at} title={t("whose.files")} fields={one} />
        ))}
        {whose.patients.length === 0 && (
          <div>
            <h3>{t("whose.files")}</h3>
            <p class="hint">{t("whose.nothing")}</p>
          </div>
        )}
        {Object.keys(whose.uploader).length > 0 && <Side title={t("whose.uploader")} fields={whose.uploader} />}
      </div>
      {whose.clinical_notes && (
        <div>
          <h3>{t("whose.notes")}</h3>
          <p class="text">{whose.clinical_notes}</p>
        </div>
      )}
      {whose.patients.length > 0 && <p class="hint">{t("whose.read", { n: whose.files_read })}</p>}
    </section>
  );
}

function Side({ title, fields }: { title: string; fields: Record<string, string> }): JSX.Element {
  return (
    <div>
      <h3>{title}</h3>
      <dl class="details">
        {Object.entries(fields).map(([name, value]) => (
          <div key={name}>
            <dt>{find(`field.${name}`) ?? name}</dt>
            <dd>{shown(name, value)}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function shown(name: string, value: string): string {
  if (name.endsWith("_date")) return dicomDate(value);
  if (name === "priority" && isPriority(value)) return say(`priority.${value}`);
  return value.replaceAll("^", " ").trim();
}

function isPriority(value: string): value is Priority {
  return ["routine", "urgent", "stat"].includes(value);
}
