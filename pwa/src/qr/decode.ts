/** The text of a QR code in a picture: by the browser where it can, else by a decoder that is fetched when it is needed. */
import { twice } from "../twice";

interface Detector {
  detect(source: ImageBitmapSource): Promise<{ rawValue: string }[]>;
}
interface DetectorClass {
  new (options: { formats: string[] }): Detector;
  getSupportedFormats(): Promise<string[]>;
}

/** null: it has none, or one that broke. */
let native: Detector | null | undefined;

export async function decodeQr(source: ImageBitmap | HTMLVideoElement): Promise<string | null> {
  return (await byBrowser(source)) ?? byDecoder(source);
}

async function byBrowser(source: ImageBitmap | HTMLVideoElement): Promise<string | null> {
  try {
    if (native === undefined) native = await browsersOwn();
    return (await native?.detect(source))?.[0]?.rawValue ?? null;
  } catch {
    native = null; // some say that they can, and can't
    return null;
  }
}

async function browsersOwn(): Promise<Detector | null> {
  const known = (globalThis as unknown as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
  const formats = (await known?.getSupportedFormats()) ?? [];
  return known && formats.includes("qr_code") ? new known({ formats: ["qr_code"] }) : null;
}

async function byDecoder(source: ImageBitmap | HTMLVideoElement): Promise<string | null> {
  const [width, height] =
    source instanceof HTMLVideoElement ? [source.videoWidth, source.videoHeight] : [source.width, source.height];
  if (!width || !height) return null;
  const scale = Math.min(1, 1000 / Math.max(width, height));
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.round(width * scale),
    height: Math.round(height * scale),
  });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return null;
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { default: jsQR } = await twice(() => import("jsqr"));
  return jsQR(pixels.data, pixels.width, pixels.height)?.data ?? null;
}
