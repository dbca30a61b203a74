import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { NotFetched, twice } from "../../twice";
import { openLink } from "../grants";
import { t } from "../i18n";
import { NotHere, useLater } from "../later";
import { Button, Notice } from "../parts";

/** `refused`: the camera. `none`: no code is in the picture. `part`: what reads it didn't come. */
const PROBLEMS = { refused: "scan.refused", none: "scan.none", part: "error.part" } as const;

/** The camera, a picture, or nothing of both: the link can still be pasted. */
export function Scanner(): JSX.Element {
  const [on, setOn] = useState(false);
  const [problem, setProblem] = useState<keyof typeof PROBLEMS | null>(null);
  const picture = useRef<HTMLInputElement>(null);
  const camera = useLater(() => import("./camera"), on);
  const look = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    try {
      const text = await readPicture(file);
      setProblem(text ? null : "none");
      if (text) await openLink(text);
    } catch (error) {
      setProblem(error instanceof NotFetched ? "part" : "none"); // it is no picture
    }
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
      {on && camera.failed && <NotHere again={camera.again} />}
      {problem && <Notice kind="warn">{t(PROBLEMS[problem])}</Notice>}
    </div>
  );
}

async function readPicture(file: File): Promise<string | null> {
  const { decodeQr } = await twice(() => import("../../qr/decode"));
  return decodeQr(await createImageBitmap(file));
}
