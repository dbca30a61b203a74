/**
 * The app lock's PIN: only what it takes to check one is kept. It keeps eyes off the names, no more: four to twelve
 * digits are soon tried out by whoever copies the profile (docs/decisions/0005-app-lock.md).
 */
export interface PinCheck {
  salt: string;
  rounds: number;
  hash: string;
}

/** PBKDF2-HMAC-SHA-256, as OWASP's password storage cheat sheet counts it. */
const ROUNDS = 600_000;
const FREE_TRIES = 5;
const FIRST_WAIT_MS = 30_000;
const LONGEST_WAIT_MS = 15 * 60_000;

export const isPin = (text: string): boolean => /^\d{4,12}$/.test(text);

export async function newCheck(pin: string, rounds = ROUNDS): Promise<PinCheck> {
  const salt = hex(crypto.getRandomValues(new Uint8Array(16)));
  return { salt, rounds, hash: await derived(pin, salt, rounds) };
}

export async function fits(check: PinCheck, pin: string): Promise<boolean> {
  return (await derived(pin, check.salt, check.rounds)) === check.hash;
}

/** Before the next try. @param wrong tries since the last right one */
export function waitAfter(wrong: number): number {
  return wrong < FREE_TRIES ? 0 : Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (wrong - FREE_TRIES));
}

async function derived(pin: string, salt: string, iterations: number): Promise<string> {
  const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(pin), "PBKDF2", false, ["deriveBits"]);
  const bits = await crypto.subtle.deriveBits(
    { name: "PBKDF2", hash: "SHA-256", salt: new TextEncoder().encode(salt), iterations },
    key,
    256,
  );
  return hex(new Uint8Array(bits));
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
