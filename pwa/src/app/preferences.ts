/** What is kept in localStorage: a comfort, which a browser may deny. Nothing in it says anything about anybody. */

export function preference(name: string): string | null {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function prefer(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // It holds until the page is closed.
  }
}

export function forgetPreferences(): void {
  try {
    localStorage.clear();
    sessionStorage.clear();
  } catch {
    // Where nothing may be stored, nothing is.
  }
}
