/** Adding the app to the device: offered once, quietly, by the browser's own way. */
import { signal } from "@preact/signals";
import type { Queue } from "../queue/db";

interface InstallEvent extends Event {
  prompt(): Promise<unknown>;
}

const DECLINED = "install-declined";

/** `prompt`: the browser asks when it is told to. `share`: iOS has it in the share sheet only. null: it can't be, or is. */
export const installable = signal<"prompt" | "share" | null>(null);
export const declined = signal(true);

let event: InstallEvent | null = null;

/** From the first moment: the browser says it once. */
export function listenForInstall(): void {
  window.addEventListener("beforeinstallprompt", (offered) => {
    offered.preventDefault();
    event = offered as InstallEvent;
    installable.value = "prompt";
  });
  window.addEventListener("appinstalled", () => (installable.value = null));
  const { standalone } = navigator as Navigator & { standalone?: boolean }; // Safari on iOS alone has it
  if (standalone === false) installable.value = "share";
}

export async function startInstall(queue: Queue): Promise<void> {
  declined.value = (await queue.recall<boolean>(DECLINED)) ?? false;
}

export async function install(): Promise<void> {
  const offered = event;
  event = null; // it can be used once
  installable.value = null;
  await offered?.prompt();
}

export async function decline(queue: Queue): Promise<void> {
  declined.value = true;
  await queue.remember(DECLINED, true);
}
