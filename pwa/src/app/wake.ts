/** The screen stays on while something is sent, where the browser can: a phone that sleeps sends nothing. */
import { effect, type ReadonlySignal } from "@preact/signals";

export function stayAwakeWhile(wanted: ReadonlySignal<boolean>): void {
  if (!("wakeLock" in navigator)) return;
  let lock: WakeLockSentinel | null = null;
  let asking = false;
  const look = async (): Promise<void> => {
    if (!wanted.value) {
      await lock?.release();
      lock = null;
    } else if (!asking && (!lock || lock.released) && document.visibilityState === "visible") {
      asking = true;
      lock = await navigator.wakeLock.request("screen").catch(() => null); // low battery, or not allowed
      asking = false;
      if (!wanted.value) await look();
    }
  };
  effect(() => void look());
  document.addEventListener("visibilitychange", () => void look()); // it is lost whenever the page is hidden
}
