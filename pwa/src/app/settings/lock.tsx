import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { isPin } from "../../queue/pin";
import { duration } from "../i18n";
import { unlock } from "../lock";
import { Button, Field, Heading, Icon, Notice } from "../parts";
import { RemoveAll } from "./removing";
import { t } from "./words";

/** In place of every other screen: it names nobody. */
export function Lock(): JSX.Element {
  return (
    <main class="narrow">
      <section class="card lock-card" aria-labelledby="lock">
        <span class="badge big plain">
          <Icon name="lock" />
        </span>
        <Heading id="lock" title={t("lock.title")}>
          {t("lock.title")}
        </Heading>
        <p class="hint">{t("lock.lead")}</p>
        <PinForm go={t("lock.open")} main tryIt={unlock} />
      </section>
      <details class="card quiet">
        <summary>{t("lock.forgotten")}</summary>
        <div class="stack">
          <p class="hint">{t("lock.forgotten.text")}</p>
          <RemoveAll />
        </div>
      </details>
    </main>
  );
}

/** @param tryIt says how long to wait before the next try; null: it was right */
export function PinForm({
  go,
  main = false,
  tryIt,
}: {
  go: string;
  main?: boolean;
  tryIt: (pin: string) => Promise<number | null>;
}): JSX.Element {
  const [wait, setWait] = useState<number | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const pin = String(new FormData(form).get("pin"));
    form.reset();
    setBusy(true);
    setWait(isPin(pin) ? await tryIt(pin) : 0);
    setBusy(false);
    form.querySelector("input")?.focus();
  };
  return (
    <form class="stack" onSubmit={(event) => void submit(event)}>
      <PinField name="pin" label={t("lock.pin")} />
      {wait !== null && (
        <Notice kind="bad">
          {t("lock.wrong")}
          {wait > 0 && ` ${t("lock.wait", { time: duration(wait / 1000) })}`}
        </Notice>
      )}
      <div class="row">
        <Button kind={main ? "main" : "plain"} type="submit" disabled={busy}>
          {go}
        </Button>
      </div>
    </form>
  );
}

/** No password manager's business: `one-time-code` keeps them out. */
export function PinField({ name, label }: { name: string; label: string }): JSX.Element {
  return (
    <Field label={label}>
      <input
        name={name}
        type="password"
        inputMode="numeric"
        autocomplete="one-time-code"
        minLength={4}
        maxLength={12}
        pattern="[0-9]*"
        required
      />
    </Field>
  );
}
