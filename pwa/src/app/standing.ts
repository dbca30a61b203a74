/** An upload in words: whose it is, what it is, how it stands. Pure but for the language. */
import { endsAt, keeping, type Time } from "../queue/keeping";
import { ENDED, imagesOf, type StudyRow, type Told } from "../queue/rows";
import { isOver, isSignedOut, needsCode } from "../upload/rules";
import type { Key } from "./en";
import { bytes, count, dicomDate, duration, moment, percent, t } from "./i18n";
import type { IconName } from "./parts";
import type { Shown } from "./state";

export interface Standing {
  tone: "busy" | "calm" | "good" | "warn" | "bad";
  icon: IconName;
  text: string;
  /** 0..1 where a bar says something */
  part: number | null;
}

export interface Live {
  bytes: number;
  rate: number | null;
}

export function standing(shown: Shown, live: Live | undefined, copied: number | undefined, online: boolean): Standing {
  const { row, meta, receipt, told } = shown;
  const to = meta.to.display_name;
  const part = row.total_bytes ? (live?.bytes ?? 0) / row.total_bytes : 0;
  if (row.paused && !ENDED.has(row.status)) return { tone: "calm", icon: "pause", text: t("study.paused"), part };
  switch (row.status) {
    case "reading":
    case "queued":
    case "sending":
      if (row.slept_at)
        return { tone: "warn", icon: "pause", text: t("study.slept", { time: moment(row.slept_at) }), part };
  }
  switch (row.status) {
    case "reading":
      if (!live)
        return {
          tone: "busy",
          icon: "file",
          text: t("study.reading", { done: copied ?? 0, of: row.total_files }),
          part: (copied ?? 0) / row.total_files,
        };
      return sending(shown, live, part, online);
    case "queued":
    case "sending":
      if (live || row.retry_count || !online) return sending(shown, live, part, online);
      return {
        tone: "calm",
        icon: "clock",
        text: row.status === "sending" ? t("study.sending") : t("study.waiting"),
        part: null,
      };
    case "delivering":
      if (isSignedOut(row.problem))
        return { tone: "warn", icon: "inbox", text: t("study.unfollowed", { to }), part: null };
      return { tone: "busy", icon: "inbox", text: t("study.delivering", { to }), part: null };
    case "held":
      return { tone: "warn", icon: "hand", text: t("study.held", { to, contact: meta.to.contact || to }), part: null };
    case "success":
      if (isUnnoted(told)) return { tone: "warn", icon: "warn", text: t("study.unnoted", { to }), part: null };
      return {
        tone: "good",
        icon: "check",
        text: t("study.success", { to, time: moment(receipt?.at || row.changed_at) }),
        part: null,
      };
    case "partial":
      return {
        tone: "warn",
        icon: "warn",
        text: t("study.partial", { n: inPacs(row), of: row.total_files, to }),
        part: null,
      };
    case "failed":
      return { tone: "bad", icon: "warn", text: t("study.failed", { to }), part: null };
    case "cancelled":
      return {
        tone: "calm",
        icon: "stop",
        text: row.problem ? problemText(row.problem.code, shown) : t("study.cancelled"),
        part: null,
      };
    case "stopped":
      return { tone: "bad", icon: "warn", text: problemText(row.problem?.code ?? "failed_here", shown), part: null };
  }
}

export function who({ meta }: Shown): string {
  if (meta.patient.name === null) return t("review.noname");
  return meta.patient.name || t("review.anonymous");
}

/** "ID 4711 · born 3 Mar 1960", as far as it is known. */
export function whose({ meta }: Shown): string {
  return identity(meta.patient);
}

export function identity({ patientId, birthDate }: { patientId: string; birthDate: string }): string {
  const id = patientId && t("review.id", { id: patientId });
  const born = birthDate && t("review.born", { date: dicomDate(birthDate) });
  return [id, born]
    .filter(Boolean)
    .map((part) => part.replaceAll(" ", "\u00a0"))
    .join(" · ");
}

/** "CT, MR · 28 images · 15 MB · 3 Mar 2024" */
export function what({ row, meta }: Shown): string {
  const kinds = [...new Set(meta.studies.flatMap((study) => study.modalities))].join(", ");
  const date = meta.studies.length === 1 ? dicomDate(meta.studies[0]?.date ?? "") : "";
  return [kinds, count("review.images", imagesOf(meta)), bytes(row.total_bytes), date].filter(Boolean).join(" · ");
}

/** When the copy on this device goes, where that would be a loss; "": it won't be. */
export function lifetime(row: StudyRow, local_ttl_ms: number, now: Time): string {
  const how = keeping(row, local_ttl_ms, now);
  const time = moment(endsAt(row, local_ttl_ms));
  if (how === "warn") return t("study.goes", { time });
  return how === "over" ? t("study.over") : "";
}

function sending(shown: Shown, live: Live | undefined, part: number, online: boolean): Standing {
  const { row } = shown;
  if (!online || (row.retry_count > 0 && row.problem?.code === "offline"))
    return { tone: "warn", icon: "clock", text: t("study.offline"), part };
  if (row.retry_count > 0) {
    return {
      tone: "warn",
      icon: "clock",
      text: ROOMLESS.has(row.problem?.code ?? "") ? problemText(row.problem?.code ?? "", shown) : t("study.retry"),
      part,
    };
  }
  const words = [t("study.sending"), percent(part)];
  if (live?.rate && live.bytes < row.total_bytes) {
    words.push(
      `${bytes(live.rate)}/s`,
      t("study.left", { time: duration((row.total_bytes - live.bytes) / live.rate) }),
    );
  }
  return { tone: "busy", icon: "up", text: words.join(" · "), part };
}

/** The images are in the PACS, what was written for the radiologist isn't. */
export function isUnnoted(told: Told | null): boolean {
  return told?.warnings.some((one) => one.code === "notes_not_stored") ?? false;
}

export function inPacs(row: StudyRow): number {
  return (row.outcome.stored ?? 0) + (row.outcome.already_there ?? 0);
}

/** The gateway answered: it has no room for this upload just now. */
const ROOMLESS = new Set(["spool_full", "quota_exceeded"]);
/** What an account or a code has reached of what it may take (`[limits]`). */
const REACHED: Record<string, Key> = {
  "limits.open_uploads": "problem.quota_exceeded.open",
  "limits.reserved_share": "problem.quota_exceeded.space",
};
const PLAIN: Record<string, Key> = {
  offline: "problem.offline",
  failed_here: "problem.failed_here",
  pick_again: "problem.pick_again",
  lost_here: "problem.lost_here",
  upload_cancelled: "problem.upload_cancelled",
  upload_expired: "problem.upload_expired",
  upload_gone: "problem.upload_gone",
  spool_full: "problem.spool_full",
  quota: "problem.quota",
  incomplete: "problem.incomplete",
  upload_too_large: "problem.upload_too_large",
  file_too_large: "problem.upload_too_large",
  too_many_files: "problem.too_many_files",
  endpoint_not_allowed: "problem.endpoint_not_allowed",
  notes_not_delivered: "problem.notes_not_delivered",
};
/** What went wrong and what to do, for a code of the gateway or of ours. */
export function problemText(code: string, { row, meta }: Shown): string {
  const contact = meta.to.contact || meta.to.display_name;
  const words: string[] = [];
  if (isSignedOut({ code, at: 0 }))
    words.push(t(row.subject.startsWith("qr:") ? "problem.unauthorized" : "problem.signed_out"));
  else if (code === "kept_too_long") words.push(keptTooLong(row));
  else if (code === "quota_exceeded") words.push(overQuota(row, contact));
  else words.push(t(PLAIN[code] ?? "problem.other", { code, contact }));
  if (isOver(row.problem) && needsCode(row)) words.push(t("problem.newcode"));
  if ((isOver(row.problem) || needsCode(row)) && !row.direct && !row.kept?.dropped) words.push(t("problem.kept"));
  return words.join(" ");
}

function overQuota({ problem, next_try_at }: StudyRow, contact: string): string {
  const limit = problem?.limit ?? "";
  const reached = t(REACHED[limit] ?? "problem.quota_exceeded.other", { limit });
  return `${reached} ${t("problem.quota_exceeded", { time: moment(next_try_at), contact })}`;
}

function keptTooLong(row: StudyRow): string {
  const { ttl_ms = 0, sent = 0 } = row.problem ?? {};
  const time = duration(ttl_ms / 1000);
  return sent
    ? t("problem.kept_too_long.part", { time, n: sent, of: row.total_files })
    : t("problem.kept_too_long", { time });
}
