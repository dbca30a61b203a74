/** What leads to the system's choosers; while files are looked at, how that goes. */
import type { ComponentChildren, JSX } from "preact";
import { useChoosers } from "../choosers";
import { t } from "../i18n";
import { Button } from "../parts";
import { add, looking } from "../picking";
import { Looking } from "./looking";

/** @param kind of the button for files */
export function Choose({ kind, children }: { kind: "main" | "plain"; children: ComponentChildren }): JSX.Element {
  const choosers = useChoosers((files) => void add(files));
  return (
    <>
      {looking.value ? (
        <Looking />
      ) : (
        <>
          {children}
          <div class="row center">
            <Button kind={kind} icon="file" onClick={choosers.files}>
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
    </>
  );
}
