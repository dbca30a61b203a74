import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { decodeQr } from "../../qr/decode";
import { openLink } from "../grants";
import { t } from "../i18n";
import { Button, Notice } from "../parts";

const EVERY_MS = 150;

/** The camera, a picture, or nothing of both: the link can still be pasted. */
export function Scanner(): JSX.Element {
  const [on, setOn] = useState(false);
  const [problem, setProblem] = useState<"refused" | "none" | null>(null);
  const picture = useRef<HTMLInputElement>(null);
  const look = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    const text = await createImageBitmap(file).then(decodeQr, () => null);
    setProblem(text ? null : "none");
    if (text) await openLink(text);
  };
  return (
    <div class="scanner">
      {on ? (
        <Camera
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
      {problem && <Notice kind="warn">{t(problem === "refused" ? "scan.refused" : "scan.none")}</Notice>}
    </div>
  );
}

function Camera({
  onText,
  onStop,
  onRefused,
}: {
  onText: (text: string) => void;
  onStop: () => void;
  onRefused: () => void;
}): JSX.Element {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    let stream: MediaStream | null = null;
    let over = false;
    const stop = (): void => {
      over = true;
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
    const hidden = (): void => {
      if (document.hidden) onStop();
    };
    const run = async (): Promise<void> => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      const screen = video.current;
      if (over || !screen) return stop();
      screen.srcObject = stream;
      await screen.play();
      while (!over) {
        const text = await decodeQr(screen);
        if (text && !over) return onText(text);
        await new Promise((done) => setTimeout(done, EVERY_MS));
      }
    };
    run().catch(onRefused);
    document.addEventListener("visibilitychange", hidden);
    return () => {
      document.removeEventListener("visibilitychange", hidden);
      stop();
    };
  }, []);
  return (
    <>
      <video ref={video} playsInline muted aria-label={t("scan.hint")} />
      <div class="row">
        <p class="hint">{t("scan.hint")}</p>
        <Button kind="quiet" onClick={onStop}>
          {t("scan.stop")}
        </Button>
      </div>
    </>
  );
}
