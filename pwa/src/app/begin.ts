/** Puts the parts of the page together, and hears what workers and other tabs tell. */
import { computed } from "@preact/signals";
import { Queue } from "../queue/db";
import type { News } from "../upload/channel";
import { isSending } from "../upload/rules";
import { storedSession } from "../upload/session";
import { startDevice } from "./device";
import { heardWiped, loadEndpoints } from "./endpoints";
import { type Grant, grant, openLink } from "./grants";
import { startInstall } from "./install";
import { followLock, startLock } from "./lock";
import { keepArmed, nudge, startOutbox } from "./outbox";
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
  session.value = await storedSession(queue);
  grant.value = await queue.recall<Grant>("grant");
  channel.listen((news) => removed.value || hear(news));
  window.addEventListener("own-change", (event) => void load((event as CustomEvent<string>).detail));
  await startDevice(queue);
  await startInstall(queue);
  await startLock(queue, channel);
  await Promise.all((await queue.studies()).map((row) => load(row.id)));
  startOutbox();
  stayAwakeWhile(computed(() => online.value && mine.value.some(({ row }) => isSending(row))));
  if (fragment.startsWith("#qr=")) await openLink(fragment);
  void loadEndpoints();
  for (const name of ["online", "pageshow", "visibilitychange"]) window.addEventListener(name, nudge);
  document.addEventListener("visibilitychange", nudge);
}

function hear(news: News): void {
  switch (news.kind) {
    case "changed":
      return void load(news.study);
    case "line":
      online.value = news.online;
      return;
    case "progress":
      keepArmed();
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
