import "../later.css";
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { chosenOf, everything } from "../choice";
import { destination } from "../destination";
import { choice, decide, decided, filesAreHere, type Scan, scanned } from "../draft";
import { grant } from "../grants";
import { Heading } from "../parts";
import { send } from "../picking";
import { session } from "../state";
import { Doubts, inOrder, LeftOut, showQuestion, toConfirm } from "./exceptions";
import { OrderCard } from "./order";
import { isTable, Patients, useWide } from "./patients";
import { SendBar } from "./sendbar";
import { t } from "./words";

const MARGIN_BYTES = 100e6;

export function Review(): JSX.Element | null {
  return scanned.value && decided.value ? <Found found={scanned.value} /> : null;
}

function Found({ found }: { found: Scan }): JSX.Element {
  const code = grant.value;
  const wide = useWide();
  const [room, setRoom] = useState(0);
  const [busy, setBusy] = useState(false);
  const all = useMemo(() => inOrder(found.patients, found.doubts), [found]);
  const chosen = chosenOf(all, choice.value);
  const asked = toConfirm(found.doubts, chosen);
  const seen = decided.value?.seen ?? false;
  const size = chosen.reduce((sum, one) => sum + one.bytes, 0);
  useEffect(() => setRoom(0), [size]);

  const confirm = async (direct: boolean): Promise<void> => {
    if (asked && !seen) return showQuestion();
    setBusy(true);
    const missing = direct ? 0 : await missingRoom(size);
    setRoom(missing);
    if (missing === 0) await sendIt(found, direct);
    setBusy(false);
  };

  return (
    <main class="wide review">
      <header class="lead">
        <Heading title={t("title.review")}>{t("review.title")}</Heading>
        {code && found.patients.length > 1 && <p>{t("review.one")}</p>}
      </header>
      <div class="body">
        {found.doubts.length > 0 && (
          <Doubts
            doubts={found.doubts}
            patients={found.patients}
            asked={asked}
            confirmed={seen}
            onConfirm={(confirmed) => decide({ seen: confirmed })}
          />
        )}
        {found.left.length > 0 && <LeftOut left={found.left} />}
        <Patients
          table={isTable(found.patients, wide)}
          patients={all}
          doubts={found.doubts}
          choice={choice.value}
          one={code !== null}
          onChoose={(keys) => decide({ choice: [...keys] })}
        />
      </div>
      <div class="side">
        <OrderCard to={destination()} patients={chosen} />
        <SendBar
          to={destination()}
          studies={everything(chosen).size}
          room={room}
          busy={busy}
          onSend={(direct) => void confirm(direct)}
        />
      </div>
    </main>
  );
}

async function sendIt(found: Scan, direct: boolean): Promise<void> {
  const [to, made, code] = [destination(), decided.value, grant.value];
  if (!to || !made || !filesAreHere.value) return;
  await send(
    chosenOf(inOrder(found.patients, found.doubts), choice.value).map((patient) => ({
      patient,
      subject: code?.subject ?? session.value?.subject ?? "",
      endpoint_id: to.endpoint_id,
      to: { display_name: to.display_name, contact: to.contact },
      priority: made.priority,
      uploader: made.sender,
      notes: to.takes_notes ? (made.notes[patient.key] ?? "") : "",
      qr: code?.upload_token ?? null,
      direct,
    })),
  );
}

/** Bytes that this device lacks for a copy; 0: it fits, or nobody can tell. */
async function missingRoom(size: number): Promise<number> {
  const told = await navigator.storage?.estimate?.().catch(() => null);
  if (!told?.quota) return 0;
  return Math.max(0, size * 1.1 + MARGIN_BYTES - (told.quota - (told.usage ?? 0)));
}
