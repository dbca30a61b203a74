/** The link of a QR code: `PUBLIC_URL/#qr=` + base64url of `{endpoint_id, upload_token, expires_at}`. Pure. */
export interface Link {
  endpoint_id: string;
  upload_token: string;
  expires_at: string;
}

export type Opened = { link: Link } | { refused: "bad" } | { refused: "foreign"; server: string };

/** A true link has about 200 characters; the mail that it came in may stand around it. */
const MOST_CHARS = 16_384;
const TOKEN = /^[\w.~+/=-]{1,512}$/;
const MARK = "#qr=";

/**
 * @param text a link, or its fragment alone, as a mail dresses it up: words and brackets around it, lines broken in it
 * @param origin where this app is from: nothing else is trusted
 */
export function readLink(text: string, origin: string): Opened {
  if (text.length > MOST_CHARS) return { refused: "bad" };
  const at = text.lastIndexOf(MARK);
  if (at < 0) return { refused: "bad" };
  const before = text.slice(0, at);
  const server = serverIn(before, origin);
  if (server === null) return { refused: "bad" };
  if (server !== origin) return { refused: "foreign", server };
  const link = unpacked(text.slice(at + MARK.length));
  return link ? { link } : { refused: "bad" };
}

/** The origin of the address that ends a text, whatever stands before it. @returns null: what ends it is no address */
function serverIn(text: string, origin: string): string | null {
  const lower = text.toLowerCase();
  const begins = Math.max(lower.lastIndexOf("https://"), lower.lastIndexOf("http://"));
  const host = /\S*$/.exec(text)?.[0] ?? "";
  if (begins < 0 && host === "") return origin; // a fragment alone
  try {
    if (begins >= 0) return new URL(text.slice(begins).replace(/\s+/g, "")).origin;
    return new URL(`https://${host}`).host === new URL(origin).host ? origin : null; // some mails leave the scheme out
  } catch {
    return null;
  }
}

/** What begins a text, however many lines it was broken into: the words after it are none of it. */
function unpacked(text: string): Link | null {
  const lines = (/^[\w\s-]+/.exec(text)?.[0] ?? "").split(/\s+/);
  for (let count = 1; count <= lines.length; count += 1) {
    const link = linkOf(lines.slice(0, count).join(""));
    if (link) return link;
  }
  return null;
}

function linkOf(packed: string): Link | null {
  try {
    const raw = atob(packed.replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(raw, (char) => char.charCodeAt(0));
    const { endpoint_id, upload_token, expires_at } = JSON.parse(new TextDecoder().decode(bytes));
    const whole = [endpoint_id, upload_token, expires_at].every((one) => typeof one === "string");
    return whole && TOKEN.test(upload_token) ? { endpoint_id, upload_token, expires_at } : null;
  } catch {
    return null;
  }
}
