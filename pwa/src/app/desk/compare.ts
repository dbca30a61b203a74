/** What a person has to be shown as different, of values that mean one thing and are written in several ways. Pure. */

/** Words of a set, whatever joins them: `PT\\CT` (PS3.5 6.4), `PT, CT`. */
const JOINED = /[\s,;/\\+&]+/;

/**
 * Whether what was expected, declared and found, in this order, contradict each other; empty: not told.
 *
 * Modalities are sets: a PET/CT is the PET that was expected, and a CT alone isn't the PET/CT. The gateway holds by the
 * same rule (docs/identity.md).
 */
export function contradict(name: string, values: readonly string[]): boolean {
  const told = values.filter(Boolean);
  if (name !== "modality") return new Set(told.map((value) => value.toLocaleLowerCase())).size > 1;
  const sets = told.map((value) => new Set(modalities(value)));
  return sets.some((one, at) => sets.slice(at + 1).some((later) => ![...one].every((word) => later.has(word))));
}

/** Each once, as they come. */
export function modalities(text: string): string[] {
  return [...new Set(text.toUpperCase().split(JOINED).filter(Boolean))];
}
