/** What lies on this device beside the queue. */
import { forgetPreferences } from "./preferences";

export async function forgetRest(): Promise<void> {
  forgetPreferences();
  if ("caches" in window) for (const name of await caches.keys()) await caches.delete(name);
  for (const one of (await navigator.serviceWorker?.getRegistrations()) ?? []) await one.unregister();
}
