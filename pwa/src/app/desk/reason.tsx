import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Button, Field } from "../parts";
import { t } from "./words";

const MOST = 500;

/** An act that needs a reason. */
export function AskReason({
  act,
  onYes,
  onNo,
}: {
  act: "release" | "retry" | "drop" | "reveal";
  onYes: (reason: string, wipe: boolean) => void;
  onNo: () => void;
}): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const reason = String(form.get("reason")).trim();
    if (reason) onYes(reason, form.has("wipe"));
  };
  return (
    <dialog ref={dialog} aria-labelledby="ask" onClose={onNo}>
      <form class="stack" onSubmit={submit}>
        <h2 id="ask">{t(`do.${act}.sure`)}</h2>
        <p>{t(`do.${act}.text`)}</p>
        <Field label={t("do.reason")}>
          <textarea name="reason" rows={2} autocomplete="off" maxLength={MOST} required autofocus />
        </Field>
        {act === "drop" && (
          <label class="check">
            <input type="checkbox" name="wipe" />
            <span>{t("do.drop.wipe")}</span>
          </label>
        )}
        <div class="row end">
          <Button onClick={onNo}>{t("do.no")}</Button>
          <Button kind={act === "drop" ? "danger" : "main"} type="submit">
            {t(act === "reveal" ? "do.reveal.yes" : `do.${act}`)}
          </Button>
        </div>
      </form>
    </dialog>
  );
}
