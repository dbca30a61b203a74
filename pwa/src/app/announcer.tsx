import { effect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { standing, who } from "./standing";
import { mine, route } from "./state";

const SAID_FOR_MS = 10_000;
const QUIET = new Set(["reading", "queued", "sending"]);

/** Says aloud what became of an upload, once; how many per cent are sent is for the eyes. */
export function Announcer(): JSX.Element {
  const [news, setNews] = useState("");
  // Said once: whoever reads through the page later finds no old news at its end.
  useEffect(() => {
    const timer = setTimeout(() => setNews(""), SAID_FOR_MS);
    return () => clearTimeout(timer);
  }, [news]);
  useEffect(() => {
    let known: ReadonlyMap<string, string> | null = null;
    return effect(() => {
      const now = new Map(mine.value.map(({ row }) => [row.id, row.status]));
      const changed =
        known &&
        mine.value.find(({ row }) => known?.get(row.id) !== row.status && known?.has(row.id) && !QUIET.has(row.status));
      known = now;
      const open = route.peek(); // its own screen says it itself
      if (changed && !(open.at === "study" && open.id === changed.row.id))
        setNews(`${who(changed)}: ${standing(changed, undefined, undefined, true).text}`);
    });
  }, []);
  return (
    <p class="aloud" role="status">
      {news}
    </p>
  );
}
