/** Which of the found studies a person wants to send. Pure. */
import type { Patient, Study } from "../ingest/group";

export type Choice = ReadonlySet<string>;

export const studyKey = (patient: Patient, study: Study): string => `${patient.key} ${study.uid}`;

/** @param one a code for one patient: with several nothing is chosen for anybody */
export function firstChoice(patients: readonly Patient[], one: boolean): Choice {
  return one && patients.length > 1 ? new Set() : everything(patients);
}

export function everything(patients: readonly Patient[]): Choice {
  return new Set(patients.flatMap((patient) => patient.studies.map((study) => studyKey(patient, study))));
}

export function extent(patient: Patient, choice: Choice): "all" | "some" | "none" {
  const chosen = patient.studies.filter((study) => choice.has(studyKey(patient, study))).length;
  return chosen === 0 ? "none" : chosen === patient.studies.length ? "all" : "some";
}

/** @param one the others are left then */
export function withPatient(choice: Choice, patient: Patient, one: boolean): Choice {
  const all = extent(patient, choice) === "all";
  const next = new Set(one ? [] : choice);
  for (const key of everything([patient])) {
    if (all) next.delete(key);
    else next.add(key);
  }
  return next;
}

export function withStudy(choice: Choice, patient: Patient, study: Study, one: boolean): Choice {
  const key = studyKey(patient, study);
  const own = everything([patient]);
  const next = new Set([...choice].filter((known) => !one || own.has(known)));
  if (!next.delete(key)) next.add(key);
  return next;
}

/** The patients with their chosen studies only; those without any are left out. */
export function chosenOf(patients: readonly Patient[], choice: Choice): Patient[] {
  return patients.flatMap((patient) => {
    const studies = patient.studies.filter((study) => choice.has(studyKey(patient, study)));
    if (studies.length === 0) return [];
    const files = studies.reduce((sum, study) => sum + study.files.length, 0);
    return [{ ...patient, studies, files, bytes: studies.reduce((sum, study) => sum + study.bytes, 0) }];
  });
}
