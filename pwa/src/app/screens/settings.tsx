import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Queue } from "../../queue/db";
import { signOut } from "../../upload/session";
import { bytes, language, LANGUAGES, speak, t } from "../i18n";
import { Ask, Button, Choice } from "../parts";
import { go, session, theQueue } from "../state";

export function Settings(): JSX.Element {
  const [used, setUsed] = useState(0);
  const [kept, setKept] = useState(false);
  const [asking, setAsking] = useState(false);
  useEffect(() => {
    void navigator.storage?.estimate?.().then(({ usage }) => setUsed(usage ?? 0));
    void navigator.storage?.persisted?.().then(setKept);
  }, []);
  const leave = async (): Promise<void> => {
    await signOut(theQueue());
    session.value = null;
    go({ at: "home" });
  };
  const removeAll = async (): Promise<void> => {
    setAsking(false);
    await Queue.removeAll(theQueue());
    for (const name of await caches.keys()) await caches.delete(name);
    for (const one of await navigator.serviceWorker.getRegistrations()) await one.unregister();
    location.reload();
  };
  return (
    <main class="narrow">
      <header class="lead"><h1>{t("settings.title")}</h1></header>
      <section class="card stack">
        <h2>{t("settings.account")}</h2>
        {session.value ? (
          <>
            <p>{t("settings.as", { name: session.value.name })}</p>
            <p class="hint">{t("settings.out.note")}</p>
            <div><Button onClick={() => void leave()}>{t("settings.out")}</Button></div>
          </>
        ) : <div><Button onClick={() => go({ at: "signin" })}>{t("settings.in")}</Button></div>}
      </section>
      <section class="card">
        <Choice legend={t("settings.language")} name="language" value={language.value} onPick={(code) => void speak(code)} options={LANGUAGES.map(({ code, name }) => ({ value: code, label: name }))} />
      </section>
      <section class="card stack">
        <h2>{t("settings.device")}</h2>
        <p>{t("settings.used", { size: bytes(used) })} {t(kept ? "settings.kept" : "settings.unkept")}</p>
        <p class="hint">{t("settings.lock")}</p>
        <div><Button kind="danger" onClick={() => setAsking(true)}>{t("settings.remove")}</Button></div>
      </section>
      {asking && <Ask title={t("settings.remove.sure")} text={t("settings.remove.text")} yes={t("settings.remove.yes")} no={t("settings.keep")} onNo={() => setAsking(false)} onYes={() => void removeAll()} />}
    </main>
  );
}
