/** Where the code leads that was opened last; who comes back to one that is spent hears of it in its place. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { type Grant, grant, grantTrouble, leaveGrant } from "../grants";
import { moment, t } from "../i18n";
import { Ask, Button, Contact, Heading, Notice } from "../parts";

export function GrantCard(): JSX.Element | null {
  const code = grant.value;
  return code && <Card key={code.upload_token} code={code} />;
}

function Card({ code }: { code: Grant }): JSX.Element {
  const [asking, setAsking] = useState(false);
  return (
    <section class="card grant" aria-labelledby="grant">
      <p class="over">{t("grant.for")}</p>
      <Heading id="grant" title="">
        {code.inspected ? <bdi>{code.display_name}</bdi> : t("grant.unknown")}
      </Heading>
      {code.contact && (
        <p>
          {t("grant.contact")}: <Contact text={code.contact} />
        </p>
      )}
      {code.notice && <p class="text">{code.notice}</p>}
      {!code.inspected && (
        <Notice kind={grantTrouble.value ? "warn" : "info"}>{t(`grant.${grantTrouble.value ?? "checking"}`)}</Notice>
      )}
      <p class="hint">
        {t("grant.once")} {t("grant.until", { time: moment(code.expires_at) })}
      </p>
      <Button kind="quiet" onClick={() => setAsking(true)}>
        {t("grant.leave")}
      </Button>
      {asking && (
        <Ask
          title={t("grant.leave.sure")}
          text={t("grant.leave.text")}
          yes={t("grant.leave")}
          no={t("settings.keep")}
          onNo={() => setAsking(false)}
          onYes={() => void leaveGrant(code.upload_token)}
        />
      )}
    </section>
  );
}
