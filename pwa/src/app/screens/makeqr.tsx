import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { json, Refused } from "../../upload/api";
import { accessToken } from "../../upload/session";
import { moment, t } from "../i18n";
import { Button, Choice, Field, Notice } from "../parts";
import { endpoints, theQueue } from "../state";

const MINUTES = ["15", "60", "1440", "4320"] as const;

interface Made {
  url: string;
  expires_at: string;
  picture: string;
  to: string;
}

export function MakeQr(): JSX.Element {
  const [minutes, setMinutes] = useState<(typeof MINUTES)[number]>("15");
  const [made, setMade] = useState<Made | null>(null);
  const [problem, setProblem] = useState("");
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setProblem("");
    try {
      const endpoint_id = String(form.get("endpoint") ?? endpoints.value[0]?.endpoint_id ?? "");
      const label = String(form.get("label") ?? "");
      const told = await json<{ url: string; expires_at: string }>("/qr", {
        method: "POST",
        bearer: await accessToken(theQueue()),
        body: { endpoint_id, ttl_seconds: Number(minutes) * 60, ...(label && { label }) },
      });
      const to = endpoints.value.find((one) => one.endpoint_id === endpoint_id)?.display_name ?? "";
      setMade({ ...told, to, picture: await picture(told.url) });
    } catch (error) {
      setProblem(error instanceof Refused && error.status ? t("error.other", { code: error.code }) : t("error.offline"));
    }
  };
  if (made) return <Code made={made} onAnother={() => setMade(null)} />;
  return (
    <main class="narrow">
      <header class="lead">
        <h1>{t("qr.title")}</h1>
        <p>{t("qr.lead")}</p>
      </header>
      <form class="card stack" onSubmit={(event) => void submit(event)}>
        {endpoints.value.length < 2 ? <p class="pair"><span>{t("qr.to")}</span><strong>{endpoints.value[0]?.display_name ?? ""}</strong></p> : (
          <Field label={t("qr.to")}>
            <select name="endpoint">
              {endpoints.value.map((one) => <option key={one.endpoint_id} value={one.endpoint_id}>{one.display_name}</option>)}
            </select>
          </Field>
        )}
        <Choice legend={t("qr.ttl")} name="ttl" value={minutes} onPick={setMinutes} options={MINUTES.map((value) => ({ value, label: t(`qr.ttl.${value}`) }))} />
        <Field label={t("qr.label")}>
          <input name="label" maxLength={120} autocomplete="off" />
        </Field>
        {problem && <Notice kind="bad">{problem}</Notice>}
        <Button kind="main" type="submit" icon="qr">{t("qr.make")}</Button>
      </form>
    </main>
  );
}

async function picture(link: string): Promise<string> {
  const { renderSVG } = await import("uqr");
  return URL.createObjectURL(new Blob([renderSVG(link, { border: 3 })], { type: "image/svg+xml" }));
}

function Code({ made, onAnother }: { made: Made; onAnother: () => void }): JSX.Element {
  const [copied, setCopied] = useState(false);
  return (
    <main class="narrow">
      <section class="card code-card">
        <h1>{made.to}</h1>
        <img src={made.picture} alt={t("qr.alt")} width={320} height={320} />
        <p>{t("qr.until", { time: moment(made.expires_at) })}</p>
        <div class="row center">
          <Button kind="main" onClick={() => void navigator.clipboard.writeText(made.url).then(() => setCopied(true))}>{copied ? t("qr.copied") : t("qr.copy")}</Button>
          <Button onClick={onAnother}>{t("qr.another")}</Button>
        </div>
      </section>
    </main>
  );
}
