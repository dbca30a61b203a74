import { describe, expect, test } from "vitest";
import { chosenOf, everything, extent, firstChoice, withPatient, withStudy } from "../src/app/choice";
import type { Header } from "../src/dicom/header";
import { doubts, grave } from "../src/ingest/doubts";
import { byPatient, type Looked, type Patient, type Study, studyMetadata } from "../src/ingest/group";
import { looksLikeZip } from "../src/ingest/look";
import { Cursor, type Source } from "../src/ingest/source";
import { withoutTwins } from "../src/ingest/twins";

let count = 0;

function looked(header: Partial<Header>, size = 10): Looked {
  const index = count++;
  const whole: Header = {
    sopClass: "",
    sopUid: `1.${index}`,
    studyDate: "",
    accession: "",
    modality: "CT",
    referring: "",
    studyDescription: "",
    patientName: "A",
    patientId: "1",
    birthDate: "19700101",
    sex: "",
    studyUid: "1.2",
    seriesUid: "",
    frames: "",
    ...header,
  };
  return { index, size, header: whole };
}

function source(text: string, name = "file"): Source {
  const bytes = new TextEncoder().encode(text);
  return {
    name,
    size: bytes.length,
    head: async (most) => bytes.slice(0, most),
    async *pieces(most, start = 0) {
      for (let at = start; at < bytes.length; at += most) yield bytes.slice(at, at + most).buffer;
    },
  };
}

function kinds(...all: Looked[]): string[] {
  return doubts(byPatient(all), all).map((doubt) => doubt.kind);
}

describe("what a person is asked about", () => {
  test("patients with nothing odd: nothing", () => {
    expect(kinds(looked({}), looked({ patientId: "2", patientName: "B" }))).toEqual([]);
  });
  test("two names under one PatientID", () => {
    expect(kinds(looked({ patientName: "MEIER^A" }), looked({ patientName: "MEYER^A" }))).toEqual(["names_differ"]);
  });
  test("two birth dates under one PatientID", () => {
    expect(kinds(looked({ birthDate: "19700101" }), looked({ birthDate: "19710101" }))).toEqual(["births_differ"]);
  });
  test("a birth date that isn't there contradicts none", () => {
    expect(kinds(looked({ birthDate: "" }), looked({ birthDate: "19710101" }))).toEqual([]);
  });
  test("a missing PatientID is told, and contradicts nobody else's", () => {
    expect(kinds(looked({ patientId: "", patientName: "A" }), looked({ patientId: "", patientName: "B" }))).toEqual([
      "no_id",
      "no_id",
    ]);
  });
  test("a name that can't be read is told and needs no answer", () => {
    const all = [looked({ patientName: null })];
    const [doubt] = doubts(byPatient(all), all);
    expect(doubt?.kind).toBe("name_unreadable");
    expect(doubt && grave(doubt)).toBe(false);
  });
  test("two contents under one SOP Instance UID", () => {
    expect(kinds(looked({ sopUid: "9" }, 10), looked({ sopUid: "9" }, 12))).toEqual(["two_contents"]);
  });
});

describe("what is chosen", () => {
  const all = byPatient([looked({}), looked({ studyUid: "1.3" }), looked({ patientId: "2" })]);
  const [two, other] = all as [Patient, Patient];
  const [first] = two.studies as [Study];
  test("everything, to begin with; nothing for a code that is for one patient", () => {
    expect(firstChoice(all, false).size).toBe(3);
    expect(firstChoice(all, true).size).toBe(0);
    expect(firstChoice([two], true).size).toBe(2);
  });
  test("one study of two: its patient is chosen in part, and goes with that study only", () => {
    const choice = withStudy(everything(all), two, first, false);
    expect(extent(two, choice)).toBe("some");
    expect(chosenOf(all, choice).map((one) => [one.studies.length, one.files])).toEqual([
      [1, 1],
      [1, 1],
    ]);
  });
  test("with a code another patient takes the place of the first", () => {
    const choice = withPatient(withPatient(new Set(), two, true), other, true);
    expect([extent(two, choice), extent(other, choice)]).toEqual(["none", "all"]);
  });
});

describe("twins", () => {
  const one = looked({ sopUid: "5" }, 4);
  const other = looked({ sopUid: "5" }, 4);
  const sources = (first: string, second: string): Source[] => {
    const all: Source[] = [];
    all[one.index] = source(first, "first");
    all[other.index] = source(second, "second");
    return all;
  };
  test("the same bytes under one UID go once, and the second is named", async () => {
    const found = await withoutTwins([one, other], sources("same", "same"));
    expect(found.looked).toEqual([one]);
    expect(found.twins).toEqual([{ name: "second", why: "duplicate" }]);
  });
  test("other bytes of the same length both stay", async () => {
    const found = await withoutTwins([one, other], sources("same", "SAME"));
    expect(found.looked).toHaveLength(2);
  });
});

describe("a cursor", () => {
  test("goes on where it was, goes back, and gives exactly what was asked for", async () => {
    const cursor = new Cursor(source("0123456789"), 3);
    const read = async (start: number, end: number): Promise<string> =>
      new TextDecoder().decode(await cursor.read(start, end));
    expect([await read(0, 4), await read(4, 9), await read(2, 5), await read(9, 10)]).toEqual([
      "0123",
      "45678",
      "234",
      "9",
    ]);
  });
  test("a source that ends too soon is an error", async () => {
    await expect(new Cursor(source("0123"), 3).read(2, 6)).rejects.toThrow();
  });
});

test("a ZIP is known by its first bytes", () => {
  expect(looksLikeZip(new Uint8Array([0x50, 0x4b, 3, 4, 0]))).toBe(true);
  expect(looksLikeZip(new Uint8Array([0x50, 0x4b, 5, 6]))).toBe(true);
  expect(looksLikeZip(new Uint8Array([0x50, 0x4b]))).toBe(false);
});

test("each frame of an object is an image, and the modalities of a study are written as DICOM writes them", () => {
  const [patient] = byPatient([looked({ modality: "PT", frames: "600" }), looked({ modality: "CT" })]);
  expect(patient?.studies[0]).toMatchObject({ files: [expect.any(Number), expect.any(Number)], images: 601 });
  expect(patient && studyMetadata(patient, "routine").modality).toBe("PT\\CT");
});

test.each(["", "0", "many", "-2", "9999999999999", null])(
  "a number of frames that is none, %j: one image",
  (frames) => {
    expect(byPatient([looked({ frames })])[0]?.studies[0]?.images).toBe(1);
  },
);
