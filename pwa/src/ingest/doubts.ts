/** What a person has to look at before sending. Pure: patients in, doubts out; the rest needs no question. */
import type { Looked, Patient } from "./group";

/** `key`: the patient it is about; `keys`: those that are in one PatientID's dispute. */
export type Doubt =
  | { kind: "name_unreadable" | "no_id"; key: string }
  | { kind: "names_differ" | "births_differ"; patientId: string; keys: string[] }
  | { kind: "two_contents"; images: number };

export function doubts(patients: readonly Patient[], looked: readonly Looked[]): Doubt[] {
  return [...contradictions(patients), ...twoContents(looked), ...gaps(patients)];
}

/** The person has to say that they have seen it: somebody's images may be under another one's name. */
export function grave(doubt: Doubt): boolean {
  return doubt.kind !== "name_unreadable" && doubt.kind !== "no_id";
}

function contradictions(patients: readonly Patient[]): Doubt[] {
  const found: Doubt[] = [];
  for (const patientId of new Set(patients.map((one) => one.patientId))) {
    const all = patients.filter((one) => one.patientId === patientId);
    if (!patientId || all.length < 2) continue;
    const keys = all.map((one) => one.key);
    if (distinct(all.map((one) => one.name)) > 1) found.push({ kind: "names_differ", patientId, keys });
    if (distinct(all.map((one) => one.birthDate)) > 1) found.push({ kind: "births_differ", patientId, keys });
  }
  return found;
}

/** What isn't there contradicts nothing. */
function distinct(values: readonly (string | null)[]): number {
  return new Set(values.filter(Boolean)).size;
}

function twoContents(looked: readonly Looked[]): Doubt[] {
  const images = looked.length - new Set(looked.map((one) => one.header.sopUid)).size;
  return images > 0 ? [{ kind: "two_contents", images }] : [];
}

function gaps(patients: readonly Patient[]): Doubt[] {
  return patients.flatMap((one): Doubt[] => [
    ...(one.name === null ? [{ kind: "name_unreadable" as const, key: one.key }] : []),
    ...(one.patientId ? [] : [{ kind: "no_id" as const, key: one.key }]),
  ]);
}
