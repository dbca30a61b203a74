/** Why the app can't start here. Pure: what the browser has, or what it threw, and which screen says so. */

/**
 * `insecure`: not opened by HTTPS. `old`: the browser lacks something. `blocked`: it may store nothing. `full`: it has no
 * room. `broken`: its store doesn't open. `silent`: it doesn't answer. `key`: what is stored can't be read any more.
 * `newer`: a newer app has been here. `part`: a part of the app didn't come.
 */
export type ObstacleKind =
  | "insecure"
  | "old"
  | "blocked"
  | "full"
  | "broken"
  | "silent"
  | "key"
  | "newer"
  | "part"
  | "failed";

export interface Obstacle {
  kind: ObstacleKind;
  /** For whoever helps: a name of the browser's, never a text that somebody typed. */
  detail: string;
}

const NEEDED = ["crypto.subtle", "indexedDB", "BroadcastChannel", "navigator.locks", "Worker", "AbortSignal.any"];
const KINDS: Readonly<Record<string, ObstacleKind>> = {
  SecurityError: "blocked",
  NotAllowedError: "blocked",
  InvalidStateError: "blocked",
  QuotaExceededError: "full",
  TimeoutError: "silent",
  VersionError: "newer",
  KeyLost: "key",
  NotFetched: "part",
  OperationError: "key", // WebCrypto's word for: it doesn't open
};

/** @returns null: everything is there that the app can't do without */
export function lacking(scope: object): Obstacle | null {
  if ("isSecureContext" in scope && !scope.isSecureContext) return { kind: "insecure", detail: "" };
  const missing = NEEDED.filter((path) => !has(scope, path.split(".")));
  return missing.length > 0 ? { kind: "old", detail: missing.join(", ") } : null;
}

function has(scope: object, path: string[]): boolean {
  try {
    let found: unknown = scope;
    for (const name of path) found = (found as Record<string, unknown> | null | undefined)?.[name];
    return found !== undefined && found !== null;
  } catch {
    return true; // it is forbidden: whoever uses it throws the reason
  }
}

/** @param error what the start threw */
export function obstacleOf(error: unknown): Obstacle {
  const thrown = error instanceof Error || error instanceof DOMException;
  const detail = thrown ? error.name : "";
  return { kind: KINDS[detail] ?? (error instanceof DOMException ? "broken" : "failed"), detail };
}
