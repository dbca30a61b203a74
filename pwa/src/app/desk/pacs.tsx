import type { JSX } from "preact";
import { endpoints } from "../endpoints";
import { Codeword, Contact, Heading, Icon } from "../parts";
import { Frame, Trouble, useAsked } from "./frame";
import { ask, type Health } from "./gateway";
import { endpointName } from "./makeqr";
import { count, t } from "./words";

const TONE = { up: "good", down: "warn", misconfigured: "bad" } as const;
const ICON = { up: "check", down: "clock", misconfigured: "warn" } as const;

/** How each endpoint fares, and what waits for it. */
export function Pacs(): JSX.Element {
  const { found, problem, again } = useAsked(
    async () => (await ask<{ endpoints: Health[] }>("/admin/endpoints")).endpoints,
    "pacs",
  );
  return (
    <Frame>
      <header class="lead">
        <Heading title={t("pacs.title")}>{t("pacs.title")}</Heading>
        <p>{t("pacs.lead")}</p>
      </header>
      <Trouble problem={problem} again={again} />
      <ul class="list cards">
        {found?.map(({ endpoint_id, condition, code, queued_jobs }) => {
          const contact = endpoints.value.find((one) => one.endpoint_id === endpoint_id)?.contact ?? "";
          return (
            <li key={endpoint_id} class={`card health ${TONE[condition]}`}>
              <span class="badge">
                <Icon name={ICON[condition]} />
              </span>
              <div class="entry-text">
                <h2>{endpointName(endpoint_id)}</h2>
                <p class="how">{t(`pacs.${condition}`)}</p>
                <p class="what">
                  {queued_jobs > 0 ? count("pacs.waiting", queued_jobs) : t("pacs.none")}
                  {contact && (
                    <>
                      {" "}
                      · <Contact text={contact} />
                    </>
                  )}
                </p>
                <p class="code soft">
                  <Codeword text={code ? `${endpoint_id} · ${code}` : endpoint_id} />
                </p>
              </div>
            </li>
          );
        })}
      </ul>
    </Frame>
  );
}
