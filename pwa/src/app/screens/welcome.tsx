import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Refused } from "../../upload/api";
import { signIn } from "../../upload/session";
import { retryAfterSignIn } from "../acts";
import { grantProblem, openLink } from "../grants";
import { t } from "../i18n";
import { nudge } from "../outbox";
import { Button, Field, Heading, Notice } from "../parts";
import { route, session, theQueue } from "../state";
import { Scanner } from "./scanner";

export function Welcome(): JSX.Element {
  return (
    <main class="narrow">
      <header class="lead">
        <Heading title="">{t("welcome.title")}</Heading>
        <p>{t("welcome.lead")}</p>
      </header>
      <SignIn />
      <PasteLink />
    </main>
  );
}

/** @param alone it is the screen, and not a part of one */
export function SignIn({ alone = false }: { alone?: boolean }): JSX.Element {
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    setBusy(true);
    setProblem(null);
    try {
      session.value = await signIn(theQueue(), String(form.get("username")), String(form.get("password")));
      route.value = { at: "home" };
      await retryAfterSignIn(session.value.subject);
      nudge();
    } catch (error) {
      setProblem(signInProblem(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="card stack" onSubmit={(event) => void submit(event)}>
      {alone ? <Heading title={t("signin.title")}>{t("signin.title")}</Heading> : <h2>{t("signin.title")}</h2>}
      <Field label={t("signin.name")}>
        <input name="username" autocomplete="username" autocapitalize="none" spellcheck={false} required />
      </Field>
      <Field label={t("signin.password")}>
        <input name="password" type="password" autocomplete="current-password" required />
      </Field>
      {problem && <Notice kind="bad">{problem}</Notice>}
      <Button kind="main" type="submit" disabled={busy}>
        {t("signin.go")}
      </Button>
    </form>
  );
}

function signInProblem(error: unknown): string {
  if (!(error instanceof Refused) || error.status === 0) return t("error.offline");
  if (error.status === 401) return t("signin.wrong");
  if (error.status === 429) return t("signin.many");
  return t("error.other", { code: error.code });
}

export function PasteLink(): JSX.Element {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    void openLink(String(new FormData(form).get("link"))).then((good) => good && form.reset());
  };
  return (
    <form class="card quiet stack" onSubmit={submit}>
      <h2>{t("link.title")}</h2>
      <p>{t("link.lead")}</p>
      <Scanner />
      <div class="row">
        <Field label={t("link.label")}>
          <input
            name="link"
            inputMode="url"
            autocomplete="off"
            spellcheck={false}
            placeholder="https://…/#qr=…"
            required
          />
        </Field>
        <Button type="submit">{t("link.go")}</Button>
      </div>
      <GrantProblem />
    </form>
  );
}

/** What is wrong with a link, brought into sight: whoever came by it has nothing else to read here. */
export function GrantProblem(): JSX.Element | null {
  const problem = grantProblem.value;
  const place = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => place.current?.scrollIntoView({ block: "nearest" }), [problem]);
  return (
    problem && (
      <div ref={place} class="amiss">
        <Notice kind="bad">{linkProblem(problem)}</Notice>
      </div>
    )
  );
}

function linkProblem(problem: NonNullable<typeof grantProblem.value>): string {
  switch (problem.why) {
    case "bad":
      return t("link.bad");
    case "foreign":
      return t("link.foreign", { server: problem.server });
    case "dead":
      return t("grant.dead");
  }
}
