/** Where files are chosen or dropped. */
import type { JSX } from "preact";
import { dragged } from "../drops";
import { grant } from "../grants";
import { t } from "../i18n";
import { Heading, Icon } from "../parts";
import { Choose } from "./choose";
import { PickTrouble } from "./looking";

export function Picker(): JSX.Element {
  const title = dragged.value ? t("pick.drop") : t("pick.title");
  return (
    <section class={`picker ${dragged.value ? "over" : ""}`} aria-labelledby="pick">
      <Icon name="inbox" />
      {grant.value ? (
        <h2 id="pick">{title}</h2>
      ) : (
        <Heading id="pick" title="">
          {title}
        </Heading>
      )}
      <Choose kind="main">
        <p class="for-mouse">{t("pick.lead")}</p>
        <p class="for-touch">{t("pick.lead.touch")}</p>
      </Choose>
      <PickTrouble />
    </section>
  );
}
