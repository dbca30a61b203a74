/** Somebody comes to a screen: the window says which it is, and the keyboard and the ears begin at its heading. */

let first = true;

/** @param title nobody's name: browsers keep titles in their history */
export function entitle(title: string): void {
  document.title = title ? `${title} · RelayPACS` : "RelayPACS";
}

/** What was pressed to come here has gone with its screen. The page that opens takes nobody's focus. */
export function arrive(heading: HTMLElement | null): void {
  if (!first && document.activeElement === document.body) heading?.focus({ preventScroll: true });
  first = false;
}
