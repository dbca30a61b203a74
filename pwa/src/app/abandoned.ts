/** Studies that need their page (being copied, or sent from the picked files) when that page has gone. */
import type { Queue } from "../queue/db";
import { holds, type StudyRow } from "../queue/rows";
import { needsItsPage } from "../upload/rules";

const watched = new Set<string>();

/** Wait until nobody holds its files: at once, or when its tab is closed. Then it asks a person for them. */
export function watchForItsPage(queue: Queue, row: StudyRow, changed: (id: string) => Promise<void>): void {
  if (!needsItsPage(row) || watched.has(row.id)) return;
  watched.add(row.id);
  void navigator.locks.request(holds(row.id), async () => {
    const whole = (await queue.files(row.id)).every((file) => file.state !== "picked");
    await queue.change(row.id, (now) => {
      if (!needsItsPage(now)) return {};
      return whole
        ? { status: "queued", direct: false }
        : { status: "stopped", problem: { code: "pick_again", at: Date.now() } };
    });
    watched.delete(row.id);
    await changed(row.id);
  });
}
