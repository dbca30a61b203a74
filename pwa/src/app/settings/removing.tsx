import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Queue } from "../../queue/db";
import type { Channel } from "../../upload/channel";
import { forgetRest } from "../emptying";
import { t as said } from "../i18n";
import { Ask, Button } from "../parts";
import { leave } from "../removal";
import { channel, theQueue } from "../state";
import { t } from "./words";

export function RemoveAll(): JSX.Element {
  const [asking, setAsking] = useState(false);
  return (
    <>
      <div>
        <Button kind="danger" onClick={() => setAsking(true)}>
          {t("settings.remove")}
        </Button>
      </div>
      {asking && (
        <Ask
          title={t("settings.remove.sure")}
          text={t("settings.remove.text")}
          yes={t("settings.remove.yes")}
          no={said("settings.keep")}
          onNo={() => setAsking(false)}
          onYes={() => void removeEverything(theQueue(), channel)}
        />
      )}
    </>
  );
}

async function removeEverything(queue: Queue, tabs: Channel): Promise<void> {
  tabs.tell({ kind: "removed" });
  leave();
  await Queue.removeAll(queue);
  await forgetRest();
}
