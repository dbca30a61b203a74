/** The gateway's time, as its answers tell it (`Date`, RFC 9110 6.6.1): a device's clock may be wrong by years. */
import type { Time } from "../queue/keeping";

/** After so long without an answer nobody knows whether the gateway can be reached. */
const FRESH_MS = 120_000;

let heard: { ms: number; at: number } | null = null;

/** @param response of the gateway, and of nobody between */
export function hear(response: Response): void {
  const told = Date.parse(response.headers.get("Date") ?? "");
  if (!Number.isNaN(told)) heard = { ms: told, at: performance.now() };
}

export function gatewayTime(): Time {
  if (!heard) return { ms: Date.now(), sure: false };
  const passed = performance.now() - heard.at;
  return { ms: heard.ms + passed, sure: passed < FRESH_MS };
}
