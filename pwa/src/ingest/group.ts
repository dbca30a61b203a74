/** Files by patient and study. Pure: headers in, what the review shows out. */
import { personName } from "../dicom/charset";
import type { Header, Unfit } from "../dicom/header";

/** A file that was looked at; `index` finds it again. */
export interface Looked {
  index: number;
  size: number;
  header: Header;
}

/** Why a file is left out: what it is, what is wrong with the ZIP it lies in, or that it is there twice. */
export type Why = Unfit | "unreadable" | "duplicate" | `zip_${"encrypted" | "method" | "broken" | "many" | "inside"}`;

export interface Left {
  name: string;
  why: Why;
}

export interface Study {
  uid: string;
  date: string;
  description: string;
  modalities: string[];
  accession: string;
  referring: string;
  files: number[];
  /** An object may have many: each of its frames is one. */
  images: number;
  bytes: number;
}

/** What goes as one upload: the studies of one patient. */
export interface Patient {
  key: string;
  /** null: it is there, but its character set doesn't fit. */
  name: string | null;
  rawName: string;
  patientId: string;
  birthDate: string;
  sex: string;
  studies: Study[];
  files: number;
  bytes: number;
}

/** Patients in the order in which they were met; a patient is PatientID, name and birth date together. */
export function byPatient(looked: readonly Looked[]): Patient[] {
  const patients = new Map<string, Patient>();
  for (const one of looked) {
    const { header } = one;
    const key = JSON.stringify([header.patientId, header.patientName, header.birthDate]);
    let patient = patients.get(key);
    if (!patient) {
      patient = {
        key,
        name: header.patientName === null ? null : personName(header.patientName),
        rawName: header.patientName ?? "",
        patientId: header.patientId ?? "",
        birthDate: header.birthDate ?? "",
        sex: header.sex ?? "",
        studies: [],
        files: 0,
        bytes: 0,
      };
      patients.set(key, patient);
    }
    add(patient, one);
  }
  return [...patients.values()];
}

function add(patient: Patient, { header, index, size }: Looked): void {
  let study = patient.studies.find((known) => known.uid === header.studyUid);
  if (!study) {
    study = {
      uid: header.studyUid ?? "",
      date: header.studyDate ?? "",
      description: header.studyDescription ?? "",
      modalities: [],
      accession: header.accession ?? "",
      referring: header.referring ?? "",
      files: [],
      images: 0,
      bytes: 0,
    };
    patient.studies.push(study);
  }
  if (header.modality && !study.modalities.includes(header.modality)) study.modalities.push(header.modality);
  study.files.push(index);
  study.images += imagesIn(header);
  study.bytes += size;
  patient.files += 1;
  patient.bytes += size;
}

function imagesIn({ frames }: Header): number {
  return /^\d{1,12}$/.test(frames ?? "") ? Math.max(1, Number(frames)) : 1;
}

/** What `init` is told of it; empty values are left out. Only the first study is named: the field is one text. */
export function studyMetadata(patient: Patient, priority: string): Record<string, string> {
  const first = patient.studies[0];
  const told: Record<string, string | undefined> = {
    patient_name: patient.rawName,
    patient_id: patient.patientId,
    patient_birth_date: patient.birthDate,
    patient_sex: patient.sex,
    ...(patient.studies.length === 1 && {
      study_date: first?.date,
      modality: first?.modalities.join("\\"), // as Modalities in Study (0008,0061) is written
      study_description: first?.description,
      accession_number: first?.accession,
      study_instance_uid: first?.uid,
    }),
    priority,
  };
  return Object.fromEntries(Object.entries(told).filter((entry): entry is [string, string] => Boolean(entry[1])));
}
