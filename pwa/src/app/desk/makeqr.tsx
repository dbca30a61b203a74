import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { endpoints } from "../endpoints";
import { moment } from "../i18n";
import { NotHere, useLater } from "../later";
import { Button, Field, Notice, OneOf } from "../parts";
import { ask, type NewCode, sentence } from "./gateway";
import { t } from "./words";

const MINUTES = ["15", "60", "1440", "4320"] as const;

/** A form, and then the code that it made. */
export function MakeQr({ onMade }: { onMade: () => void }): JSX.Element {
  const [minutes, setMinutes] = useState<(typeof MINUTES)[number]>("15");
  const [made, setMade] = useState<NewCode | null>(null);
  const [problem, setProblem] = useState("");
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setProblem("");
    try {
      setMade(await ask<NewCode>("/qr", { method: "POST", body: wish(form, Number(minutes) * 60) }));
      onMade();
    } catch (error) {
      setProblem(sentence(error));
    }
  };
  if (made) {
    return (
      <Code made={made} title={endpointName(made.endpoint_id)}>
        <Button onClick={() => setMade(null)}>{t("qr.another")}</Button>
      </Code>
    );
  }
  return (
    <form class="card stack" onSubmit={(event) => void submit(event)}>
      {endpoints.value.length < 2 ? (
        <p class="pair">
          <span>{t("qr.to")}</span>
          <strong>{endpoints.value[0]?.display_name ?? ""}</strong>
        </p>
      ) : (
        <Field label={t("qr.to")}>
          <select name="endpoint">
            {endpoints.value.map((one) => (
              <option key={one.endpoint_id} value={one.endpoint_id} selected={one.default === true}>
                {one.display_name}
              </option>
            ))}
          </select>
        </Field>
      )}
      <OneOf
        legend={t("qr.ttl")}
        name="ttl"
        value={minutes}
        onPick={setMinutes}
        options={MINUTES.map((value) => ({ value, label: t(`qr.ttl.${value}`) }))}
      />
      <Field label={t("qr.label")}>
        <input name="label" maxLength={120} autocomplete="off" />
      </Field>
      <details>
        <summary>{t("qr.expected")}</summary>
        <p class="hint">{t("qr.expected.lead")}</p>
        <div class="row fields">
          <Field label={t("qr.expected.id")}>
            <input name="patient_id" maxLength={64} autocomplete="off" spellcheck={false} />
          </Field>
          <Field label={t("qr.expected.born")}>
            <input name="patient_birth_date" type="date" autocomplete="off" />
          </Field>
          <Field label={t("qr.expected.accession")}>
            <input name="accession_number" maxLength={64} autocomplete="off" spellcheck={false} />
          </Field>
        </div>
      </details>
      {problem && <Notice kind="bad">{problem}</Notice>}
      <Button kind="main" type="submit" icon="qr">
        {t("qr.make")}
      </Button>
    </form>
  );
}

function wish(form: FormData, ttl_seconds: number): Record<string, unknown> {
  const text = (name: string): string => String(form.get(name) ?? "").trim();
  const expected = {
    patient_id: text("patient_id"),
    patient_birth_date: text("patient_birth_date").replaceAll("-", ""), // a DICOM date (PS3.5 6.2, DA)
    accession_number: text("accession_number"),
  };
  const asked = Object.fromEntries(Object.entries(expected).filter(([, value]) => value));
  const endpoint_id = text("endpoint") || endpoints.value[0]?.endpoint_id;
  const label = text("label");
  return {
    endpoint_id,
    ttl_seconds,
    ...(label && { label }),
    ...(Object.keys(asked).length > 0 && { expected: asked }),
  };
}

export function endpointName(endpoint_id: string): string {
  return endpoints.value.find((one) => one.endpoint_id === endpoint_id)?.display_name ?? endpoint_id;
}

/** A code to be scanned or copied: it is shown once, the gateway keeps only its digest. */
export function Code({
  made,
  title,
  lead,
  children,
}: {
  made: NewCode;
  title: string;
  lead?: string;
  children?: JSX.Element;
}): JSX.Element {
  const [copied, setCopied] = useState<boolean | null>(null);
  const copy = (): Promise<void> =>
    navigator.clipboard.writeText(made.url).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  const picture = usePicture(made.url);
  return (
    <section class="card code-card" aria-label={title}>
      <h2>{title}</h2>
      {lead && <p class="hint">{lead}</p>}
      {picture.address ? (
        <img src={picture.address} alt={t("qr.alt")} width={320} height={320} />
      ) : picture.failed ? (
        <NotHere again={picture.again} />
      ) : (
        <span class="code-room" />
      )}
      <p>{t("qr.until", { time: moment(made.expires_at) })}</p>
      <div class="row center">
        <Button kind="main" icon="link" onClick={() => void (navigator.clipboard ? copy() : setCopied(false))}>
          {copied ? t("qr.copied") : t("qr.copy")}
        </Button>
        {children}
      </div>
      {copied === false && (
        <>
          <Notice kind="warn">{t("qr.uncopied")}</Notice>
          <Field label={t("qr.link")}>
            <input readOnly value={made.url} onFocus={(event) => event.currentTarget.select()} />
          </Field>
        </>
      )}
    </section>
  );
}

function usePicture(link: string): { address: string; failed: boolean; again: () => void } {
  const [address, setAddress] = useState("");
  const { module, failed, again } = useLater(() => import("uqr"));
  useEffect(() => {
    if (!module) return;
    const drawn = URL.createObjectURL(new Blob([module.renderSVG(link, { border: 3 })], { type: "image/svg+xml" }));
    setAddress(drawn);
    return () => URL.revokeObjectURL(drawn);
  }, [link, module]);
  return { address, failed, again };
}
