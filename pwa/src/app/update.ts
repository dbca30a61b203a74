/** The service worker, and a new version of the app: it takes over when the person says so, never in an upload's way. */
import { signal } from "@preact/signals";
import { at } from "../upload/place";

export const updateReady = signal(false);
let waiting: ServiceWorker | null = null;
let asked = false;

export async function register(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register(at("/sw.js"));
    const note = (worker: ServiceWorker | null): void => {
      if (!worker || !navigator.serviceWorker.controller) return;
      waiting = worker;
      updateReady.value = true;
    };
    note(registration.waiting);
    registration.addEventListener("updatefound", () => {
      const fresh = registration.installing;
      fresh?.addEventListener("statechange", () => fresh.state === "installed" && note(fresh));
    });
    navigator.serviceWorker.addEventListener("controllerchange", () => {
      if (asked) {
        location.reload();
        return;
      }
      waiting = null; // another tab took it: this one goes on with what it has loaded, and may follow when it likes
      updateReady.value = true;
    });
  } catch {
    // Blocked, or an untrusted certificate: everything but the offline shell works without it.
  }
}

/** The page reloads: nothing may be copied from picked files at that moment. */
export function update(): void {
  asked = true;
  if (waiting) {
    waiting.postMessage("take over");
    navigator.serviceWorker.controller?.postMessage("let go");
  } else location.reload();
}
