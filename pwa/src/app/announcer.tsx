import { effect } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { who } from "./screens/home";
import { standing } from "./standing";
import { mine, route } from "./state";

const QUIET = new Set(["reading", "queued", "sending"]);

/** Says aloud what became of an upload, once; how many per cent are sent is for the eyes. */
export function Announcer(): JSX.Element {
  const [news, setNews] = useState("");
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
