import type { JSX } from "preact";
import { imagesOf } from "../../queue/rows";
import { moment, number } from "../i18n";
import { Button, Contact, Icon, Slot } from "../parts";
import { inPacs, isUnnoted } from "../standing";
import type { Shown } from "../state";
import type { ScreenKey } from "./en";
import { count, t } from "./words";

/** That it arrived, where and when, whom nobody told yet, and the proof to keep. */
export function ReceiptCard({ one: { row, meta, receipt, told, notes } }: { one: Shown }): JSX.Element {
  const { display_name: to, contact } = meta.to;
  const save = (): void => {
    if (!receipt) return;
    const url = URL.createObjectURL(new Blob([receipt.jws], { type: "application/jose" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `receipt-${receipt.id}.jws`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const proof =
    receipt && ["committed", "compared", "queried", "acknowledged"].includes(receipt.verification)
      ? t(`proof.${receipt.verification}` as ScreenKey)
      : "";
  const left = row.outcome.skipped ?? 0;
  return (
    <section class="card receipt" aria-labelledby="receipt">
      <span class="badge big">
        <Icon name="check" />
      </span>
      <h2 id="receipt">{t("receipt.in", { to, time: moment(receipt?.at || row.changed_at) })}</h2>
      <p class="told">
        {contact ? (
          <Slot text={t("receipt.told")} slot="contact">
            <Contact text={contact} />
          </Slot>
        ) : (
          t("receipt.told.nobody")
        )}
      </p>
      <dl class="details">
        <div>
          <dt>{t("receipt.images")}</dt>
          <dd>{number(inPacs(row) === row.total_files ? imagesOf(meta) : inPacs(row))}</dd>
        </div>
        {notes && !isUnnoted(told) && (
          <div>
            <dt>{t("details.notes")}</dt>
            <dd>{t("receipt.notes")}</dd>
          </div>
        )}
        {left > 0 && (
          <div>
            <dt>{t("outcome.skipped")}</dt>
            <dd>{count("receipt.files", left)}</dd>
          </div>
        )}
        {proof && (
          <div>
            <dt>{t("receipt.proof")}</dt>
            <dd>{proof}</dd>
          </div>
        )}
        {receipt && (
          <div>
            <dt>{t("receipt.number")}</dt>
            <dd class="code">{receipt.id}</dd>
          </div>
        )}
      </dl>
      {receipt && (
        <Button icon="save" onClick={save}>
          {t("receipt.save")}
        </Button>
      )}
    </section>
  );
}
