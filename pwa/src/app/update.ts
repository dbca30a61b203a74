/** The service worker, and a new version of the app: it takes over when the person says so, never in an upload's way. */
import { signal } from "@preact/signals";

export const updateReady = signal(false);
let waiting: ServiceWorker | null = null;

export async function register(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("/sw.js");
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
  } catch {
    // Blocked, or an untrusted certificate: everything but the offline shell works without it.
  }
}

export function update(): void {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  waiting?.postMessage("take over");
}
