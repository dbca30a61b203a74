/**
 * The app lock: after five minutes without a touch the screens say no names until the PIN is given. Workers go on, for
 * they need no screen. What is locked is what is shown: `docs/decisions/0005-app-lock.md` says why not the key.
 */
import { signal } from "@preact/signals";
import type { Queue } from "../queue/db";
import type { PinCheck } from "../queue/pin";
import type { Channel } from "../upload/channel";

export const LOCK_AFTER_MS = 5 * 60_000;
const LOOK_EVERY_MS = 5_000;
const WRITE_EVERY_MS = 15_000;

const PIN = "lock";
const STATE = "lock-state";

interface State {
  locked: boolean;
  touched_at: number;
  wrong: number;
  /** No try before. */
  wait_until: number;
}

/** Not in the first load: it comes with the screens that ask for a PIN. */
const pins = (): Promise<typeof import("../queue/pin")> => import("../queue/pin");

export const lockSet = signal(false);
export const locked = signal(false);

let queue: Queue;
let channel: Channel;
let touchedAt = 0;
let writtenAt = 0;

export async function startLock(theQueue: Queue, theChannel: Channel): Promise<void> {
  [queue, channel] = [theQueue, theChannel];
  lockSet.value = (await queue.recall<PinCheck>(PIN)) !== null;
  locked.value = lockSet.value && isOver(await state());
  touchedAt = Date.now();
  for (const name of ["pointerdown", "keydown", "wheel", "touchmove"])
    window.addEventListener(name, touched, { passive: true, capture: true });
  for (const name of ["visibilitychange", "pageshow"]) document.addEventListener(name, () => void look());
  setInterval(() => void look(), LOOK_EVERY_MS);
}

async function state(): Promise<State> {
  return (await queue.recall<State>(STATE)) ?? { locked: false, touched_at: 0, wrong: 0, wait_until: 0 };
}

async function keep(change: Partial<State>): Promise<void> {
  await queue.remember(STATE, { ...(await state()), ...change });
}

/** A clock that was put back would keep it open for years. */
function isOver({ locked: shut, touched_at }: State): boolean {
  return shut || Date.now() - touched_at >= LOCK_AFTER_MS || touched_at > Date.now() + LOCK_AFTER_MS;
}

function touched(): void {
  if (!lockSet.value || locked.value) return;
  const now = Date.now();
  if (now - touchedAt >= LOCK_AFTER_MS) return void look(); // the first touch after a long sleep
  touchedAt = now;
  if (now - writtenAt < WRITE_EVERY_MS) return;
  writtenAt = now;
  void keep({ touched_at: now });
}

/** Another tab may have been touched. */
async function look(): Promise<void> {
  if (!lockSet.value || locked.value || Date.now() - touchedAt < LOCK_AFTER_MS) return;
  const now = await state();
  if (isOver(now)) await lockNow();
  else touchedAt = now.touched_at;
}

export async function lockNow(): Promise<void> {
  locked.value = true;
  await keep({ locked: true });
  channel.tell({ kind: "locked", locked: true });
}

/** Another tab has locked, unlocked, set a PIN or taken it away. */
export async function followLock(isLocked: boolean): Promise<void> {
  lockSet.value = (await queue.recall<PinCheck>(PIN)) !== null;
  if (!isLocked) touchedAt = Date.now();
  locked.value = isLocked;
}

/** @returns how long to wait before the next try; 0: it was wrong, and may be tried again; null: it was right */
export async function tryPin(pin: string): Promise<number | null> {
  const { fits, waitAfter } = await pins();
  const check = await queue.recall<PinCheck>(PIN);
  const { wrong, wait_until } = await state();
  const rest = Math.min(wait_until - Date.now(), waitAfter(wrong)); // never longer than asked for, whatever the clock did
  if (check && rest > 0) return rest;
  if (!check || (await fits(check, pin))) {
    await keep({ wrong: 0, wait_until: 0 });
    return null;
  }
  const wait = waitAfter(wrong + 1);
  await keep({ wrong: wrong + 1, wait_until: Date.now() + wait });
  return wait;
}

/** @returns as `tryPin` */
export async function unlock(pin: string): Promise<number | null> {
  const wait = await tryPin(pin);
  if (wait !== null) return wait;
  await keep({ locked: false, touched_at: Date.now() });
  touchedAt = Date.now();
  locked.value = false;
  channel.tell({ kind: "locked", locked: false });
  return null;
}

export async function setPin(pin: string): Promise<void> {
  await queue.remember(PIN, await (await pins()).newCheck(pin));
  await queue.remember(STATE, { locked: false, touched_at: Date.now(), wrong: 0, wait_until: 0 } satisfies State);
  touchedAt = Date.now();
  lockSet.value = true;
  channel.tell({ kind: "locked", locked: false });
}

/** @returns as `tryPin` */
export async function dropPin(pin: string): Promise<number | null> {
  const wait = await tryPin(pin);
  if (wait !== null) return wait;
  await queue.forget(PIN);
  await queue.forget(STATE);
  lockSet.value = false;
  channel.tell({ kind: "locked", locked: false });
  return null;
}
