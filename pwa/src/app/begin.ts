/** Puts the parts of the page together, and hears what workers and other tabs tell. */
import { computed } from "@preact/signals";
import { Queue } from "../queue/db";
import { holdStores } from "../queue/going";
import type { News } from "../upload/channel";
import { isSending } from "../upload/rules";
import { storedSession } from "../upload/session";
import { startDevice } from "./device";
import { scanned, startDraft } from "./draft";
import { startDrops } from "./drops";
import { heardWiped, startEndpoints, wakeEndpoints } from "./endpoints";
import { beforeGoing } from "./going";
import { grant, inspectGrants, openLink, startGrants } from "./grants";
import { startInstall } from "./install";
import { followLock, locked, startLock } from "./lock";
import { keepArmed, nudge, startOutbox } from "./outbox";
import { add } from "./picking";
import { leave, removed } from "./removal";
import { channel, keepQueue, load, mine, online, progress, type Route, route, session, theQueue } from "./state";
import { stayAwakeWhile } from "./wake";

export async function begin(): Promise<void> {
  const fragment = location.hash;
  // The token leaves the address bar, the history and every screenshot before anything else happens.
  if (fragment) history.replaceState(null, "", location.pathname);
  window.addEventListener("popstate", (event) => {
    route.value = (event.state as Route | null) ?? { at: "home" };
  });
  window.addEventListener("hashchange", () => {
    const late = location.hash;
    if (!late) return;
    history.replaceState(null, "", location.pathname);
    void openLink(late);
  });
  const queue = await Queue.open((why) => (why === "newer" ? location.reload() : leave()));
  keepQueue(queue);
  beforeGoing(holdStores);
  session.value = await storedSession(queue);
  await startGrants();
  channel.listen((news) => removed.value || hear(news));
  window.addEventListener("own-change", (event) => void load((event as CustomEvent<string>).detail));
  await startDevice(queue);
  await startInstall(queue);
  await startLock(queue, channel);
  await Promise.all((await queue.studies()).map((row) => load(row.id)));
  startOutbox();
  stayAwakeWhile(computed(() => online.value && mine.value.some(({ row }) => isSending(row))));
  if (fragment.startsWith("#qr=")) await openLink(fragment);
  else inspectGrants();
  startEndpoints();
  await startDraft();
  if ((history.state as Route | null)?.at === "review" && scanned.value) route.value = { at: "review" };
  startDrops(takesFiles, (files) => void add(files));
  for (const name of ["online", "pageshow"]) window.addEventListener(name, wake);
  document.addEventListener("visibilitychange", wake);
}

/** The list with the picker, or a review that lacks its files. */
function takesFiles(): boolean {
  if (locked.value || removed.value) return false;
  const { at } = route.value;
  return at === "home" ? session.value !== null || grant.value !== null || mine.value.length > 0 : at === "review";
}

/** The line may be back, or somebody is. */
function wake(): void {
  nudge();
  wakeEndpoints();
  inspectGrants();
}

function hear(news: News): void {
  switch (news.kind) {
    case "changed":
      return void load(news.study);
    case "line":
      online.value = news.online;
      if (news.online) wake();
      return;
    case "progress":
      keepArmed();
      // A byte more was acknowledged: there is a line, whatever was said before.
      if (news.bytes > (progress.value.get(news.study)?.bytes ?? news.bytes)) online.value = true;
      progress.value = new Map(progress.value).set(news.study, { bytes: news.bytes, rate: news.rate });
      return;
    case "locked":
      return void followLock(news.locked);
    case "wiped":
      return void heardWiped();
    case "removed":
      theQueue().close();
      leave();
  }
}
