import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { decodeQr } from "../../qr/decode";
import { t } from "../i18n";
import { Button } from "../parts";

const EVERY_MS = 150;

/** What it sees is looked at until there is a code in it. */
export function Camera({
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
