import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { openLink } from "../grants";
import { t } from "../i18n";
import { useLater } from "../later";
import { Button, Notice } from "../parts";

/** The camera, a picture, or nothing of both: the link can still be pasted. */
export function Scanner(): JSX.Element {
  const [on, setOn] = useState(false);
  const [problem, setProblem] = useState<"refused" | "none" | null>(null);
  const picture = useRef<HTMLInputElement>(null);
  const camera = useLater(() => import("./camera"), on);
  const look = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    const text = await readPicture(file).catch(() => null);
    setProblem(text ? null : "none");
    if (text) await openLink(text);
  };
  return (
    <div class="scanner">
      {on && camera.module ? (
        <camera.module.Camera
          onText={(text) => {
            setOn(false);
            void openLink(text);
          }}
          onStop={() => setOn(false)}
          onRefused={() => {
            setOn(false);
            setProblem("refused");
          }}
        />
      ) : (
        <div class="row">
          {"mediaDevices" in navigator && (
            <Button
              icon="qr"
              onClick={() => {
                setProblem(null);
                setOn(true);
              }}
            >
              {t("scan.go")}
            </Button>
          )}
          <Button kind="quiet" onClick={() => picture.current?.click()}>
            {t("scan.picture")}
          </Button>
        </div>
      )}
      <input
        ref={picture}
        hidden
        type="file"
        accept="image/*"
        onChange={(event) => {
          void look(event.currentTarget.files?.[0]);
          event.currentTarget.value = "";
        }}
      />
      {on && camera.failed && <Notice kind="bad">{t("error.offline")}</Notice>}
      {problem && <Notice kind="warn">{t(problem === "refused" ? "scan.refused" : "scan.none")}</Notice>}
    </div>
  );
}

async function readPicture(file: File): Promise<string | null> {
  const { decodeQr } = await import("../../qr/decode");
  return decodeQr(await createImageBitmap(file));
}
