/** The link of a QR code: `PUBLIC_URL/#qr=` + base64url of `{endpoint_id, upload_token, expires_at}`. Pure. */
export interface Link {
  endpoint_id: string;
  upload_token: string;
  expires_at: string;
}

export type Opened = { link: Link } | { refused: "bad" } | { refused: "foreign"; server: string };

/** A true link has about 200 characters. */
const MOST_CHARS = 4096;
const TOKEN = /^[\w.~+/=-]{1,512}$/;

/** @param text a whole link, or its fragment alone @param origin where this app is from: nothing else is trusted */
export function readLink(text: string, origin: string): Opened {
  if (text.length > MOST_CHARS) return { refused: "bad" };
  const trimmed = text.trim();
  let fragment = trimmed;
  if (!trimmed.startsWith("#")) {
    let url: URL;
    try {
      url = new URL(trimmed);
    } catch {
      return { refused: "bad" };
    }
    if (!url.hash.startsWith("#qr=") || !/^https?:$/.test(url.protocol)) return { refused: "bad" };
    if (url.origin !== origin) return { refused: "foreign", server: url.origin };
    fragment = url.hash;
  }
  if (!fragment.startsWith("#qr=")) return { refused: "bad" };
  try {
    const packed = fragment.slice(4).replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
    const held = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const { endpoint_id, upload_token, expires_at } = held;
    if (typeof endpoint_id !== "string" || typeof upload_token !== "string" || typeof expires_at !== "string")
      return { refused: "bad" };
    if (!TOKEN.test(upload_token)) return { refused: "bad" };
    return { link: { endpoint_id, upload_token, expires_at } };
  } catch {
    return { refused: "bad" };
  }
}
