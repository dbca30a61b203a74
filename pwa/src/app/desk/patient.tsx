import type { JSX } from "preact";
import { dicomDate } from "../i18n";
import { Button } from "../parts";
import type { Whose } from "./gateway";
import { find, t } from "./words";

/** Whose upload it is: asked for with a reason, kept nowhere, gone when the screen is left. */
export function Patient({ whose, onHide }: { whose: Whose; onHide: () => void }): JSX.Element {
  return (
    <section class="card stack" aria-labelledby="whose">
      <div class="heading"><h2 id="whose">{t("whose.title")}</h2><Button kind="quiet" onClick={onHide}>{t("do.hide")}</Button></div>
      <div class="sides">
        <Side title={t("whose.declared")} fields={whose.study_metadata} />
        {whose.patients.map((one, at) => <Side key={at} title={t("whose.files")} fields={one} />)}
        {whose.patients.length === 0 && <div><h3>{t("whose.files")}</h3><p class="hint">{t("whose.nothing")}</p></div>}
        {Object.keys(whose.uploader).length > 0 && <Side title={t("whose.uploader")} fields={whose.uploader} />}
      </div>
      {whose.clinical_notes && <div><h3>{t("whose.notes")}</h3><p class="text">{whose.clinical_notes}</p></div>}
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
          <div key={name}><dt>{find(`field.${name}`) ?? name}</dt><dd>{/(_date|birth_date)$/.test(name) ? dicomDate(value) : value.replaceAll("^", " ")}</dd></div>
        ))}
      </dl>
    </div>
  );
}
