/**
 * Text of DICOM elements (PS3.3 C.12.1.1.2). A text that can't be decoded is null, never a guess: a wrong name is worse
 * than none.
 */

/** Defined term -> label of the Encoding standard. Browsers know no label for some; the nearest superset stands in. */
const LABELS: Readonly<Record<string, string>> = {
  "": "us-ascii",
  "ISO_IR 6": "us-ascii",
  "ISO_IR 100": "iso-8859-1",
  "ISO_IR 101": "iso-8859-2",
  "ISO_IR 109": "iso-8859-3",
  "ISO_IR 110": "iso-8859-4",
  "ISO_IR 126": "iso-8859-7",
  "ISO_IR 127": "iso-8859-6",
  "ISO_IR 138": "iso-8859-8",
  "ISO_IR 144": "iso-8859-5",
  "ISO_IR 148": "iso-8859-9",
  "ISO_IR 203": "iso-8859-15",
  "ISO_IR 13": "shift_jis",
  "ISO_IR 166": "windows-874",
  "ISO_IR 192": "utf-8",
  GB18030: "gb18030",
  GBK: "gbk",
  "ISO 2022 IR 13": "iso-2022-jp",
  "ISO 2022 IR 87": "iso-2022-jp",
  "ISO 2022 IR 159": "iso-2022-jp",
  "ISO 2022 IR 149": "euc-kr",
  "ISO 2022 IR 58": "gbk",
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: ISO 2022 begins its escapes with one
const ESCAPES = /\x1b[$(),\-.][()A-Za-z]?[A-Za-z0-9]?/;

/** The label for a value of Specific Character Set (0008,0005); null: a term that nobody knows. */
export function labelOf(declared: string): string | null {
  const terms = declared.split("\\").map((term) => term.trim());
  // With code extensions the last term that says more than the default decides; the first may be empty.
  const telling = terms.filter((term) => term !== "" && term !== "ISO_IR 6" && term !== "ISO 2022 IR 6").at(-1) ?? "";
  const known = LABELS[telling] ?? LABELS[telling.replace(/^ISO 2022 IR /, "ISO_IR ")];
  return known ?? null;
}

/** The text, without padding; null where the bytes don't fit the declared character set. */
export function decode(bytes: Uint8Array, declared: string): string | null {
  const label = labelOf(declared);
  const ascii = bytes.every((byte) => byte < 0x80 && byte !== 0x1b);
  if (!ascii && (label === null || label === "us-ascii")) return null;
  try {
    const raw = new TextDecoder(ascii || label === null ? "us-ascii" : label, { fatal: true }).decode(
      label === "euc-kr" || label === "gbk" ? withoutEscapes(bytes) : bytes,
    );
    return raw.replace(/[\0 ]+$/, "").replace(/^ +/, "");
  } catch {
    return null;
  }
}

function withoutEscapes(bytes: Uint8Array): Uint8Array {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  const kept = text.replace(new RegExp(ESCAPES, "g"), "");
  return Uint8Array.from(kept, (char) => char.charCodeAt(0));
}

/** A person's name (PS3.5 6.2.1) as people write it: "Doe, Jane". The first group that says something counts. */
export function personName(raw: string): string {
  const group = raw.split("=").find((one) => one.replace(/\^/g, "").trim() !== "") ?? "";
  const [family = "", given = "", middle = ""] = group.split("^").map((part) => part.trim());
  const first = [given, middle].filter(Boolean).join(" ");
  return [family, first].filter(Boolean).join(", ");
}
