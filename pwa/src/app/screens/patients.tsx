/** Who and what was found, to choose from: cards, and a table where there is room for one and much to show. */
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Doubt } from "../../ingest/doubts";
import type { Patient, Study } from "../../ingest/group";
import { type Choice, everything, extent, studyKey, withPatient, withStudy } from "../choice";
import { bytes, dicomDate, number } from "../i18n";
import { Button, Tag } from "../parts";
import { identity } from "../standing";
import { count, t } from "./words";

interface ListProps {
  patients: readonly Patient[];
  doubts: readonly Doubt[];
  choice: Choice;
  /** A code is for one patient. */
  one: boolean;
  onChoose: (choice: Choice) => void;
}

const FEW_STUDIES = 3;
/** Where its columns have room: across the page, or beside the card with Send. */
const WIDE = "(min-width: 53.75em) and (max-width: 62.4em), (min-width: 70em)";

export function isTable(patients: readonly Patient[], wide: boolean): boolean {
  return wide && patients.reduce((sum, one) => sum + one.studies.length, 0) > FEW_STUDIES;
}

export function useWide(): boolean {
  const [wide, setWide] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const query = matchMedia(WIDE);
    const on = (): void => setWide(query.matches);
    query.addEventListener("change", on);
    return () => query.removeEventListener("change", on);
  }, []);
  return wide;
}

export function Patients({ table, ...props }: ListProps & { table: boolean }): JSX.Element {
  const { patients, one, onChoose } = props;
  return (
    <section class="stack" aria-label={t("review.found")}>
      {patients.length > 1 && (
        <div class="heading">
          <p class="hint">
            {count("review.patients", patients.length)} · {count("review.studies", everything(patients).size)} ·{" "}
            {bytes(patients.reduce((sum, patient) => sum + patient.bytes, 0))}
          </p>
          {!one && (
            <div class="row tight">
              <Button kind="quiet" onClick={() => onChoose(everything(patients))}>
                {t("review.all")}
              </Button>
              <Button kind="quiet" onClick={() => onChoose(new Set())}>
                {t("review.none")}
              </Button>
            </div>
          )}
        </div>
      )}
      {table ? <Table {...props} /> : <Cards {...props} />}
    </section>
  );
}

function Cards({ patients, doubts, choice, one, onChoose }: ListProps): JSX.Element {
  return (
    <ul class="list">
      {patients.map((patient) => (
        <li key={patient.key} class={`card patient-card ${extent(patient, choice) === "none" ? "off" : ""}`}>
          {patients.length === 1 ? (
            <Who patient={patient} doubts={doubts} />
          ) : (
            <label class="check">
              <PatientBox patient={patient} choice={choice} one={one} onChoose={onChoose} />
              <Who patient={patient} doubts={doubts} />
            </label>
          )}
          <ul class="studies">
            {patient.studies.map((study) => (
              <li key={study.uid}>
                <StudyLine patient={patient} study={study} choice={choice} one={one} onChoose={onChoose} />
              </li>
            ))}
          </ul>
        </li>
      ))}
    </ul>
  );
}

type ChooseProps = Pick<ListProps, "choice" | "one" | "onChoose"> & { patient: Patient };

/** With more than one study each can be left out by itself. */
function StudyLine({ patient, study, ...choosing }: ChooseProps & { study: Study }): JSX.Element {
  const line = (
    <>
      <span class="modality">{study.modalities.join(", ") || "–"}</span>
      <span class="study-text">{study.description || t("review.nostudytext")}</span>
      <span class="study-date">{dicomDate(study.date)}</span>
      <span class="study-size">
        {count("review.images", study.images)} · {bytes(study.bytes)}
      </span>
    </>
  );
  if (patient.studies.length === 1) return <div class="study-line">{line}</div>;
  return (
    <label class="study-line own">
      <StudyBox patient={patient} study={study} {...choosing} />
      {line}
    </label>
  );
}

function Table({ patients, doubts, choice, one, onChoose }: ListProps): JSX.Element {
  return (
    <div class="card sheet">
      <table>
        <thead>
          <tr>
            <th scope="col">
              <span class="unseen">{t("table.send")}</span>
            </th>
            <th scope="col">{t("table.patient")}</th>
            <th scope="col">{t("table.kind")}</th>
            <th scope="col">{t("table.study")}</th>
            <th scope="col">{t("table.date")}</th>
            <th scope="col" class="figure">
              {t("table.images")}
            </th>
            <th scope="col" class="figure">
              {t("table.size")}
            </th>
          </tr>
        </thead>
        {patients.map((patient) => (
          <tbody key={patient.key} class={extent(patient, choice) === "none" ? "off" : ""}>
            {patient.studies.map((study, row) => (
              <tr key={study.uid}>
                {row === 0 && (
                  <>
                    <td rowSpan={patient.studies.length} class="box">
                      <label class="check">
                        <PatientBox patient={patient} choice={choice} one={one} onChoose={onChoose} />
                      </label>
                    </td>
                    <th rowSpan={patient.studies.length} scope="rowgroup">
                      <Who patient={patient} doubts={doubts} />
                    </th>
                  </>
                )}
                <td>
                  <span class="modality">{study.modalities.join(", ") || "–"}</span>
                </td>
                <td>
                  {patient.studies.length === 1 ? (
                    study.description || t("review.nostudytext")
                  ) : (
                    <label class="check small">
                      <StudyBox patient={patient} study={study} choice={choice} one={one} onChoose={onChoose} />
                      <span>{study.description || t("review.nostudytext")}</span>
                    </label>
                  )}
                </td>
                <td class="date">{dicomDate(study.date)}</td>
                <td class="figure">{number(study.images)}</td>
                <td class="figure">{bytes(study.bytes)}</td>
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </div>
  );
}

function PatientBox({ patient, choice, one, onChoose }: ChooseProps): JSX.Element {
  const box = useRef<HTMLInputElement>(null);
  const how = extent(patient, choice);
  useEffect(() => {
    if (box.current) box.current.indeterminate = how === "some";
  }, [how]);
  const toggle = (): void => onChoose(withPatient(choice, patient, one));
  return (
    <input
      ref={box}
      type={one ? "radio" : "checkbox"}
      name="patient"
      checked={how !== "none"}
      aria-label={patientName(patient)}
      onChange={toggle}
    />
  );
}

function StudyBox({ patient, study, choice, one, onChoose }: ChooseProps & { study: Study }): JSX.Element {
  return (
    <input
      type="checkbox"
      checked={choice.has(studyKey(patient, study))}
      onChange={() => onChoose(withStudy(choice, patient, study, one))}
    />
  );
}

function Who({ patient, doubts }: { patient: Patient; doubts: readonly Doubt[] }): JSX.Element {
  return (
    <span class="patient">
      <strong>
        <bdi>{patientName(patient)}</bdi>
        {remarks(patient, doubts).map((remark) => (
          <Tag key={remark}>{remark}</Tag>
        ))}
      </strong>
      <span>{identity(patient)}</span>
    </span>
  );
}

export function patientName(patient: Patient): string {
  return patient.name === null ? t("review.noname") : patient.name || t("review.anonymous");
}

function remarks(patient: Patient, doubts: readonly Doubt[]): string[] {
  const disputed = doubts.some((doubt) => "keys" in doubt && doubt.keys.includes(patient.key));
  return [...(patient.patientId ? [] : [t("remark.noid")]), ...(disputed ? [t("remark.check")] : [])];
}
