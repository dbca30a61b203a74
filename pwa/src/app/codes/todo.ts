/** What a person can do about a code of the gateway. */
export type Todo = "none" | "copy" | "export" | "call" | "wait" | "person";

/** What a person can do. A code that isn't named here is one for a call. */
export const TODO: Readonly<Record<string, Todo>> = {
  ...to("none", [
    "empty_file",
    "not_dicom",
    "dicomdir",
    "duplicate_in_upload",
    "meta_incomplete",
    "meta_mismatch",
    "unknown_sop_class",
    "pixel_data_encoding",
    "missing_pixel_data",
    "missing_patient_id",
    "missing_modality",
    "content_not_compared",
    "identity_not_checked",
    "not_yet_visible",
    "pacs_warning",
    "study_metadata_mismatch",
  ]),
  ...to("copy", [
    "only_zeros",
    "truncated",
    "bad_length",
    "bad_sequence",
    "bad_vr",
    "pixel_data_too_short",
    "deflate_damaged",
    "data_lost",
    "incomplete",
    "not_checked",
  ]),
  ...to("export", [
    "no_preamble",
    "missing_file_meta",
    "missing_transfer_syntax_uid",
    "duplicate_attribute",
    "value_too_long",
    "missing_sop_class_uid",
    "missing_sop_instance_uid",
    "missing_study_instance_uid",
    "missing_series_instance_uid",
    "invalid_uid",
    "unknown_transfer_syntax",
  ]),
  ...to("wait", ["gave_up", "not_acknowledged"]),
  ...to("person", [
    "two_patients",
    "patient_id_mismatch",
    "birth_date_mismatch",
    "accession_number_mismatch",
    "pacs_patient_conflict",
    "accession_conflict",
    "study_mismatch",
  ]),
};

function to(todo: Todo, codes: readonly string[]): Record<string, Todo> {
  return Object.fromEntries(codes.map((code) => [code, todo]));
}
