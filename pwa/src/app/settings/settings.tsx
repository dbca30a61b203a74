import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { isPin } from "../../queue/pin";
import { signOut } from "../../upload/session";
import { stays, terms } from "../device";
import { bytes, duration, LANGUAGES, type Language, language, speak } from "../i18n";
import { install, installable } from "../install";
import { dropPin, lockNow, lockSet, setPin } from "../lock";
import { Button, Contact, Heading, Notice, OneOf } from "../parts";
import { go, session, theQueue } from "../state";
import { InstallWays } from "./installing";
import { PinField, PinForm } from "./lock";
import { RemoveAll } from "./removing";
import { t } from "./words";

export function Settings(): JSX.Element {
  const [wordless, setWordless] = useState(false);
  const speakIt = (code: Language): Promise<void> =>
    speak(code).then(
      () => setWordless(false),
      () => setWordless(true),
    );
  return (
    <main class="narrow">
      <header class="lead">
        <Heading title={t("settings.title")}>{t("settings.title")}</Heading>
      </header>
      <Account />
      <section class="card">
        <OneOf
          legend={t("settings.language")}
          name="language"
          value={language.value}
          onPick={(code) => void speakIt(code)}
          options={LANGUAGES.map(({ code, name }) => ({ value: code, label: name }))}
        />
        {wordless && <Notice kind="bad">{t("settings.wordless")}</Notice>}
      </section>
      <AppLock />
      {installable.value && (
        <section class="card stack">
          <h2>{t("install.title")}</h2>
          <InstallWays />
          {installable.value === "prompt" && (
            <div>
              <Button icon="down" onClick={() => void install()}>
                {t("install.go")}
              </Button>
            </div>
          )}
        </section>
      )}
      <Device />
    </main>
  );
}

function Account(): JSX.Element {
  const leave = async (): Promise<void> => {
    await signOut(theQueue());
    session.value = null;
    go({ at: "home" });
  };
  return (
    <section class="card stack">
      <h2>{t("settings.account")}</h2>
      {session.value ? (
        <>
          <p>{t("settings.as", { name: session.value.name })}</p>
          <p class="hint">{t("settings.out.note")}</p>
          <div>
            <Button onClick={() => void leave()}>{t("settings.out")}</Button>
          </div>
        </>
      ) : (
        <div>
          <Button onClick={() => go({ at: "signin" })}>{t("settings.in")}</Button>
        </div>
      )}
    </section>
  );
}

function AppLock(): JSX.Element {
  const [open, setOpen] = useState(false);
  useEffect(() => setOpen(false), [lockSet.value]);
  return (
    <section class="card stack" aria-labelledby="app-lock">
      <h2 id="app-lock">{t("lock.setting")}</h2>
      <p>{t(lockSet.value ? "lock.is" : "lock.isnt")}</p>
      <p class="hint">{t("lock.limits")}</p>
      {open ? (
        lockSet.value ? (
          <PinForm go={t("lock.off")} tryIt={dropPin} />
        ) : (
          <NewPin />
        )
      ) : (
        <div class="row">
          {lockSet.value && (
            <Button icon="lock" onClick={() => void lockNow()}>
              {t("lock.now")}
            </Button>
          )}
          <Button kind={lockSet.value ? "quiet" : "plain"} onClick={() => setOpen(true)}>
            {t(lockSet.value ? "lock.off" : "lock.on")}
          </Button>
        </div>
      )}
    </section>
  );
}

function NewPin(): JSX.Element {
  const [problem, setProblem] = useState<"digits" | "differ" | null>(null);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const pin = String(form.get("pin"));
    const same = pin === form.get("again");
    const found = isPin(pin) ? (same ? null : "differ") : "digits";
    setProblem(found);
    if (!found) await setPin(pin);
  };
  return (
    <form class="stack" noValidate onSubmit={(event) => void submit(event)}>
      <PinField name="pin" label={t("lock.new")} />
      <PinField name="again" label={t("lock.again")} />
      {problem && <Notice kind="bad">{t(problem === "digits" ? "lock.digits" : "lock.differ")}</Notice>}
      <div class="row">
        <Button kind="main" type="submit">
          {t("lock.on")}
        </Button>
      </div>
    </form>
  );
}

function Device(): JSX.Element {
  const [used, setUsed] = useState(0);
  useEffect(() => void copiedBytes().then(setUsed), []);
  const asked = terms.value;
  return (
    <section class="card stack" aria-labelledby="device">
      <h2 id="device">{t("settings.device")}</h2>
      <p>
        {used > 0 ? t("settings.used", { size: bytes(used) }) : t("settings.unused")}{" "}
        {asked && t("settings.ttl", { time: duration(asked.local_ttl_ms / 1000) })}
      </p>
      {stays.value !== null && <p>{t(stays.value ? "settings.kept" : "settings.unkept")}</p>}
      {isByHttp2() && <p>{t("settings.h2")}</p>}
      <p class="hint">{t("settings.lock")}</p>
      {asked?.privacy_contact && (
        <p class="hint">
          {t("settings.privacy")}: <Contact text={asked.privacy_contact} />
        </p>
      )}
      <RemoveAll />
    </section>
  );
}

/** One connection for all that is sent: something stands before the gateway that shouldn't offer it. */
function isByHttp2(): boolean {
  const heard = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  return heard.some((one) => (one as PerformanceResourceTiming).nextHopProtocol === "h2");
}

/** Bytes of the files whose copies are here. */
async function copiedBytes(): Promise<number> {
  let sum = 0;
  for (const row of await theQueue().studies()) {
    if (row.status === "success" || row.status === "cancelled" || row.kept?.dropped) continue;
    for (const file of await theQueue().files(row.id)) if (COPIED.has(file.state) && !row.direct) sum += file.size;
  }
  return sum;
}

/** What was sent is kept until the PACS has it. */
const COPIED = new Set(["stored", "sent"]);
