import { expect, test } from "vitest";
import document from "../../tests/vectors/dicom_headers.json";
import { look } from "../src/ingest/look";

interface Vector {
  name: string;
  /** Bytes in hex, and how many times. */
  pieces: [string, number][];
  app: string;
  facts?: Record<string, string>;
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
}

function fileOf({ name, pieces }: Vector): File {
  const parts = pieces.flatMap(([hex, times]) => {
    const piece = bytesOf(hex);
    return piece.length === 1 ? [new Uint8Array(times).fill(piece[0] ?? 0)] : Array<typeof piece>(times).fill(piece);
  });
  return new File(parts, name);
}

// The gateway's scanner reads the same ones: tests/unit/hooks/checks/test_header_vectors.py.
test.each(document.vectors as unknown as Vector[])("$name", async (vector) => {
  const { looked, left } = await look(
    [{ file: fileOf(vector), path: vector.name }],
    () => null,
    new AbortController().signal,
  );
  expect(left.map(({ why }) => why).join() || "header").toBe(vector.app);
  if (!vector.facts) return;
  const { header } = looked[0] ?? expect.fail("it was not read");
  expect({
    sop_instance_uid: header.sopUid,
    study_instance_uid: header.studyUid,
    series_instance_uid: header.seriesUid,
    modality: header.modality,
    patient_id: header.patientId,
    patient_name: header.patientName,
    patient_birth_date: header.birthDate,
    frames: header.frames,
  }).toEqual(vector.facts);
});
