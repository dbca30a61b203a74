/** The rows of what a person confirmed. */
import type { Queue } from "../queue/db";
import { type FileRow, type Metadata, SEGMENT_BYTES, type StudyRow } from "../queue/rows";
import type { Placed } from "./copy";
import { type Looked, studyMetadata } from "./group";
import type { Order } from "./messages";
import type { Source } from "./source";

const SEALED_AT_ONCE = 64;

export async function rowsOf(
  queue: Queue,
  order: Order,
  sources: readonly Source[],
  looked: readonly Looked[],
): Promise<{ study: StudyRow; files: Placed[] }> {
  const id = crypto.randomUUID();
  const chosen = new Set(order.patient.studies.flatMap((study) => study.files));
  const ours = looked.filter((one) => chosen.has(one.index));
  const files: Placed[] = [];
  for (let at = 0; at < ours.length; at += SEALED_AT_ONCE) {
    const some = ours.slice(at, at + SEALED_AT_ONCE).map((one) => fileRow(queue, id, one, sources));
    files.push(...(await Promise.all(some)));
  }
  return {
    study: await studyRow(
      queue,
      id,
      order,
      files.map(({ row }) => row),
    ),
    files,
  };
}

async function fileRow(
  queue: Queue,
  study: string,
  { index, header }: Looked,
  sources: readonly Source[],
): Promise<Placed> {
  const source = sources[index];
  if (!source) throw new Error("no such file");
  const id = crypto.randomUUID();
  const named = await queue.nameFile(id, { name: source.name, sopUid: header.sopUid ?? "" });
  const segments = Math.ceil(source.size / SEGMENT_BYTES);
  return {
    source,
    row: {
      id,
      study_id: study,
      size: source.size,
      segments,
      state: "picked",
      offset: 0,
      url: null,
      named,
      problem: null,
      outcome: null,
    },
  };
}

async function studyRow(queue: Queue, id: string, order: Order, files: readonly FileRow[]): Promise<StudyRow> {
  const { patient } = order;
  const metadata: Metadata = {
    patient: { name: patient.name, patientId: patient.patientId, birthDate: patient.birthDate },
    studies: patient.studies.map(({ date, description, modalities, files: of, images }) => ({
      date,
      description,
      modalities,
      files: of.length,
      images,
    })),
    declared: studyMetadata(patient, order.priority),
    uploader: order.uploader,
    to: order.to,
  };
  return {
    id,
    subject: order.subject,
    endpoint_id: order.endpoint_id,
    priority: order.priority,
    status: order.direct ? "queued" : "reading",
    paused: false,
    direct: order.direct,
    retry_count: 0,
    next_try_at: 0,
    total_files: files.length,
    total_bytes: files.reduce((sum, { size }) => sum + size, 0),
    created_at: Date.now(),
    changed_at: Date.now(),
    upload_id: null,
    tus_url: null,
    metadata: await queue.sealFor(id, "metadata", metadata),
    clinical_notes: order.notes.trim() ? await queue.sealFor(id, "clinical_notes", order.notes) : null,
    tokens: order.qr ? await queue.sealFor(id, "tokens", { qr: order.qr }) : null,
    receipt: null,
    outcome: {},
    told: null,
    problem: null,
  };
}
