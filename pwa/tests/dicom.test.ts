import { describe, expect, test } from "vitest";
import { decode, personName } from "../src/dicom/charset";
import { readHeader } from "../src/dicom/header";
import { byPatient, studyMetadata } from "../src/ingest/group";

type Item = [tag: number, vr: string, value: string | Uint8Array];
const bytesOf = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));
const join = (parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

function element([tag, vr, value]: Item, little = true, explicit = true): Uint8Array {
  const raw = typeof value === "string" ? bytesOf(value) : value;
  const padded = raw.length % 2 ? join([raw, new Uint8Array(1)]) : raw;
  const head = new DataView(new ArrayBuffer(8));
  head.setUint16(0, tag >>> 16, little);
  head.setUint16(2, tag & 0xffff, little);
  if (explicit) {
    head.setUint8(4, vr.charCodeAt(0));
    head.setUint8(5, vr.charCodeAt(1));
    head.setUint16(6, padded.length, little);
  } else head.setUint32(4, padded.length, little);
  return join([new Uint8Array(head.buffer), padded]);
}

const STUDY: Item[] = [
  [0x00080005, "CS", "ISO_IR 100"],
  [0x00080018, "UI", "1.2.3"],
  [0x00080020, "DA", "20240303"],
  [0x00080060, "CS", "CT"],
  [0x00100010, "PN", "M\xfcller^J\xf6rg"],
  [0x00100020, "LO", "P1"],
  [0x00100030, "DA", "19700101"],
  [0x0020000d, "UI", "1.2"],
  [0x0020000e, "UI", "1.2.9"],
];
const SYNTAXES = {
  explicit: "1.2.840.10008.1.2.1",
  implicit: "1.2.840.10008.1.2",
  big: "1.2.840.10008.1.2.2",
  deflated: "1.2.840.10008.1.2.1.99",
};

async function file(syntax: keyof typeof SYNTAXES, items: Item[], raw?: Uint8Array): Promise<Uint8Array> {
  const data = raw ?? join(items.map((item) => element(item, syntax !== "big", syntax !== "implicit")));
  const body =
    syntax === "deflated"
      ? new Uint8Array(
          await new Response(
            new Blob([data.slice()]).stream().pipeThrough(new CompressionStream("deflate-raw")),
          ).arrayBuffer(),
        )
      : data;
  return join([
    new Uint8Array(128),
    bytesOf("DICM"),
    element([0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2"]),
    element([0x00020010, "UI", SYNTAXES[syntax]]),
    body,
  ]);
}

describe("headers", () => {
  test.each(Object.keys(SYNTAXES) as (keyof typeof SYNTAXES)[])("%s syntax is read", async (syntax) => {
    const reading = await readHeader(await file(syntax, STUDY), true);
    expect(reading).toMatchObject({
      header: { patientName: "Müller^Jörg", studyUid: "1.2", sopUid: "1.2.3", modality: "CT" },
    });
  });
  test("sequences of undefined length are stepped over, nested ones too", async () => {
    const open = (tag: number[]): number[] => [...tag, 0xff, 0xff, 0xff, 0xff];
    const item = open([0xfe, 0xff, 0x00, 0xe0]);
    const sequence = [0x08, 0x00, 0x40, 0x11, 0x53, 0x51, 0, 0, 0xff, 0xff, 0xff, 0xff];
    const ends = [0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0, 0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
    const nested = Uint8Array.from([...sequence, ...item, ...sequence, ...item, ...ends, ...ends]);
    const at = STUDY.findIndex(([tag]) => tag > 0x00081140);
    const data = join([
      ...STUDY.slice(0, at).map((one) => element(one)),
      nested,
      ...STUDY.slice(at).map((one) => element(one)),
    ]);
    expect(await readHeader(await file("explicit", [], data), true)).toMatchObject({ header: { studyUid: "1.2" } });
  });
  test("what isn't DICOM, is empty, is a directory or is damaged is told apart", async () => {
    expect(await readHeader(new Uint8Array(), true)).toEqual({ unfit: "empty" });
    expect(await readHeader(bytesOf("[autorun]".repeat(99)), true)).toEqual({ unfit: "not_dicom" });
    const directory = join([
      new Uint8Array(128),
      bytesOf("DICM"),
      element([0x00020002, "UI", "1.2.840.10008.1.3.10"]),
      element([0x00020010, "UI", SYNTAXES.explicit]),
    ]);
    expect(await readHeader(directory, true)).toEqual({ unfit: "directory" });
    expect(await readHeader((await file("explicit", STUDY)).subarray(0, 250), true)).toEqual({ unfit: "broken" });
  });
  test("every cut asks for more or is read; none throws", async () => {
    const whole = await file("explicit", STUDY);
    for (let end = 132; end < whole.length; end += 1) {
      const reading = await readHeader(whole.subarray(0, end), false);
      expect("more" in reading || "header" in reading).toBe(true);
    }
  });
});

describe("names", () => {
  test("a name that doesn't fit its character set is not readable, and never a wrong one", () => {
    expect(decode(bytesOf("M\xfcller"), "")).toBeNull();
    expect(decode(bytesOf("M\xfcller"), "ISO_IR 192")).toBeNull();
    expect(decode(bytesOf("M\xfcller"), "no such term")).toBeNull();
    expect(decode(bytesOf("Miller  "), "no such term")).toBe("Miller");
  });
  test.each([
    ["\x1b$)C\xb1\xe8\xc8\xf1\xc1\xdf", "\\ISO 2022 IR 149", "김희중"],
    ["\x1b$B;3ED\x1b(B", "\\ISO 2022 IR 87", "山田"],
    ["\xd4\xc0", "ISO_IR 13", "ﾔﾀ"],
    ["\xcd\xf5", "GB18030", "王"],
  ])("%j in %s", (raw, charset, name) => {
    expect(decode(bytesOf(raw), charset)).toBe(name);
  });
  test("the first group that says something is shown, family name first", () => {
    expect(personName("Doe^Jane^Q")).toBe("Doe, Jane Q");
    expect(personName("=山田^太郎=")).toBe("山田, 太郎");
    expect(personName("")).toBe("");
  });
});

test("files are grouped by patient, then by study; a patient is ID, name and birth date together", async () => {
  const header = async (change: Partial<Record<number, string>>) => {
    const reading = await readHeader(
      await file(
        "explicit",
        STUDY.map(([tag, vr, value]): Item => [tag, vr, change[tag] ?? value]),
      ),
      true,
    );
    if (!("header" in reading)) throw new Error("no header");
    return reading.header;
  };
  const patients = byPatient([
    { index: 0, size: 10, header: await header({}) },
    { index: 1, size: 20, header: await header({ 0x00080018: "1.2.4" }) },
    { index: 2, size: 30, header: await header({ 0x0020000d: "1.3" }) },
    { index: 3, size: 40, header: await header({ 0x00100030: "19710101" }) },
  ]);
  expect(patients.map((one) => [one.name, one.birthDate, one.studies.length, one.files, one.bytes])).toEqual([
    ["Müller, Jörg", "19700101", 2, 3, 60],
    ["Müller, Jörg", "19710101", 1, 1, 40],
  ]);
  const [first, second] = patients;
  expect(second && studyMetadata(second, "stat")).toMatchObject({
    patient_name: "Müller^Jörg",
    study_instance_uid: "1.2",
    priority: "stat",
  });
  expect(first && studyMetadata(first, "stat")).not.toHaveProperty("study_instance_uid");
});
