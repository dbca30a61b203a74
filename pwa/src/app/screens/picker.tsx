/** Where files are chosen or dropped. */
import type { JSX } from "preact";
import { useChoosers } from "../choosers";
import { dragged } from "../drops";
import { grant } from "../grants";
import { t } from "../i18n";
import { Button, Heading, Icon } from "../parts";
import { add, looking } from "../picking";
import { Looking, PickTrouble } from "./looking";

export function Picker(): JSX.Element {
  const choosers = useChoosers((files) => void add(files));
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
      {looking.value ? (
        <Looking />
      ) : (
        <>
          <p class="for-mouse">{t("pick.lead")}</p>
          <p class="for-touch">{t("pick.lead.touch")}</p>
          <div class="row center">
            <Button kind="main" icon="file" onClick={choosers.files}>
              {t("pick.files")}
            </Button>
            {choosers.folder && (
              <Button icon="folder" onClick={choosers.folder}>
                {t("pick.folder")}
              </Button>
            )}
          </div>
        </>
      )}
      {choosers.inputs}
      <PickTrouble />
    </section>
  );
}
