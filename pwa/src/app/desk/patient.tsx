import type { JSX } from "preact";
import type { Priority } from "../../queue/rows";
import { dicomDate, t as say } from "../i18n";
import { Button, Heading, Tag } from "../parts";
import { contradict, modalities } from "./compare";
import type { Whose } from "./gateway";
import { find, t } from "./words";

/** Whose upload it is: asked for with a reason, kept nowhere, gone when the screen is left. */
export function PatientData({ whose, onHide }: { whose: Whose; onHide: () => void }): JSX.Element {
  return (
    <section class="card stack" aria-labelledby="whose">
      <div class="heading">
        <Heading as="h2" id="whose">
          {t("whose.title")}
        </Heading>
        <Button kind="quiet" onClick={onHide}>
          {t("do.hide")}
        </Button>
      </div>
      <Compared whose={whose} />
      {whose.patients.length === 0 && <p class="hint">{t("whose.nothing")}</p>}
      {Object.keys(whose.uploader).length > 0 && <Side title={t("whose.uploader")} fields={whose.uploader} />}
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

/** What was expected, what was declared and what lies in the files, side by side: what differs is marked. */
function Compared({ whose }: { whose: Whose }): JSX.Element {
  const sides = [
    { title: t("whose.expected"), fields: whose.expected },
    { title: t("whose.declared"), fields: whose.study_metadata },
    ...whose.patients.map((fields) => ({ title: t("whose.files"), fields })),
  ].filter(({ fields }) => Object.keys(fields).length > 0);
  const names = [...new Set(sides.flatMap(({ fields }) => Object.keys(fields)))];
  return (
    <table class="compared">
      <thead>
        <tr>
          <td />
          {sides.map(({ title }, at) => (
            <th key={at} scope="col">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {names.map((name) => {
          const values = sides.map(({ fields }) => shown(name, fields[name] ?? ""));
          const differs = contradict(name, values);
          return (
            <tr key={name} class={differs ? "differs" : ""}>
              <th scope="row">
                {find(`field.${name}`) ?? name}
                {differs && <Tag>{t("whose.differs")}</Tag>}
              </th>
              {values.map((value, at) => (
                <td key={at} data-side={sides[at]?.title} class={value ? "" : "none"}>
                  {value ? <bdi>{value}</bdi> : "–"}
                </td>
              ))}
            </tr>
          );
        })}
      </tbody>
    </table>
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
            <dd>
              <bdi>{shown(name, value)}</bdi>
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function shown(name: string, value: string): string {
  if (name.endsWith("_date")) return dicomDate(value);
  if (name === "modality") return modalities(value).join(", ");
  if (name === "priority" && isPriority(value)) return say(`priority.${value}`);
  return value.replaceAll("^", " ").trim();
}

function isPriority(value: string): value is Priority {
  return ["routine", "urgent", "stat"].includes(value);
}
