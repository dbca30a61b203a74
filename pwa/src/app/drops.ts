/** Files that are dropped anywhere on the page: they are picked where picking is possible, and never opened in its place. */
import { signal } from "@preact/signals";
import { fromDrop } from "../ingest/files";
import type { Picked } from "../ingest/look";

/** Something hangs over the page that can be dropped. */
export const dragged = signal(false);

const brings = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;

/** @param welcome a screen is open that takes files */
export function startDrops(welcome: () => boolean, take: (files: Picked[]) => void): void {
  window.addEventListener("dragover", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    dragged.value = welcome();
    if (event.dataTransfer) event.dataTransfer.dropEffect = dragged.value ? "copy" : "none";
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) dragged.value = false; // out of the window
  });
  window.addEventListener("drop", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    dragged.value = false;
    if (event.dataTransfer && welcome()) void fromDrop(event.dataTransfer).then(take);
  });
}
