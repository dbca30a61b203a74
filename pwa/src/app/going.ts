/** Before this page may go: it is closed, loaded anew, or a link leads elsewhere. */

/** @param tell also told where the page stays after all */
export function beforeGoing(tell: () => void): void {
  for (const name of ["beforeunload", "pagehide"]) window.addEventListener(name, tell);
}
