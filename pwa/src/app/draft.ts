/**
 * A review that is not sent yet: what was found in the picked files, and what a person has decided about it. It is kept,
 * sealed, at every change: another screen, the lock, a reload and a crash lose nothing of it but the files, which a page
 * can't take with it.
 */
import { batch, computed, effect, signal } from "@preact/signals";
import type { Doubt } from "../ingest/doubts";
import type { Left, Patient } from "../ingest/group";
import type { Priority } from "../queue/rows";
import { gatewayTime } from "../upload/clock";
import { type Choice, chosenOf, everything, firstChoice } from "./choice";
import { grant } from "./grants";
import { session, theQueue } from "./state";

export interface Scan {
  patients: Patient[];
  left: Left[];
  doubts: Doubt[];
}

/** The name and number of whoever sends. */
export interface Sender {
  name?: string;
  phone?: string;
}

/** Notes are by the patient's key. */
export interface Decided {
  choice: string[];
  /** That the doubts were looked at. */
  seen: boolean;
  priority: Priority;
  /** Empty: the account's default. */
  endpoint: string;
  sender: Sender;
  notes: Record<string, string>;
}

const SENDER = "sender";

/** null: nothing was picked that isn't sent or discarded. */
export const scanned = signal<Scan | null>(null);
export const decided = signal<Decided | null>(null);
/** This page holds the files that were looked at. */
export const filesAreHere = signal(false);

/** Whose it is: an account's, and nobody else sees it; or, empty, of whoever has a code and this device. */
const owner = computed(() => (grant.value ? "" : (session.value?.subject ?? "")));

interface Review {
  scan: Scan;
  decided: Decided;
  filesAreHere: boolean;
}

/** Of an account that is signed out while this page still holds its files. */
let parked: { owner: string; review: Review } | null = null;

/** Takes up the draft of whoever is there now, and whenever that changes. */
export async function startDraft(): Promise<void> {
  await takeUp(owner.value);
  let known = owner.value;
  effect(() => {
    const [before, now] = [known, owner.value];
    if (now === before) return;
    known = now;
    if (before && !session.value) park(before);
    else if (parked?.owner === now) unpark(parked.review);
    else if (filesAreHere.value) void move(before);
    else void takeUp(now);
  });
  // A code is for one patient, whatever was chosen before it was opened.
  effect(() => {
    const [scan, made] = [scanned.peek(), decided.peek()];
    if (grant.value && scan && made) decide({ choice: forOne(scan, made).choice });
  });
}

function forOne({ patients }: Scan, made: Decided): Decided {
  const several = grant.peek() !== null && chosenOf(patients, new Set(made.choice)).length > 1;
  return several ? { ...made, choice: [] } : made;
}

function show(review: Review | null): void {
  batch(() => {
    scanned.value = review?.scan ?? null;
    decided.value = review && forOne(review.scan, review.decided);
    filesAreHere.value = review?.filesAreHere ?? false;
  });
}

function unpark(review: Review): void {
  parked = null;
  show(review);
}

function park(whose: string): void {
  const [scan, made, here] = [scanned.peek(), decided.peek(), filesAreHere.peek()];
  show(null);
  if (scan && made) parked = { owner: whose, review: { scan, decided: made, filesAreHere: here } };
}

/** Whoever opens a code, or signs in, with files just picked goes on with them. */
async function move(before: string): Promise<void> {
  await keepAll();
  await theQueue().forgetDraft(before);
}

async function takeUp(whose: string): Promise<void> {
  const scan = await theQueue().draft<Scan>(whose, "found");
  const known = await theQueue().draft<Decided>(whose, "decided");
  if (owner.peek() !== whose || filesAreHere.peek()) return;
  show(scan && { scan, decided: known ?? undecided(scan), filesAreHere: false });
}

function undecided({ patients }: Scan, sender: Sender = {}, notes: Record<string, string> = {}): Decided {
  const first = [...firstChoice(patients, grant.peek() !== null)];
  return { choice: first, seen: false, priority: "routine", endpoint: "", sender, notes };
}

/**
 * Files were looked at, and this page holds them. Of those that were in the review before it keeps what was decided;
 * what is new among them is not chosen by anybody yet.
 */
export async function startReview(scan: Scan): Promise<void> {
  parked = null; // its files have given way to these
  const [before, known] = [scanned.peek(), decided.peek()];
  const keys = everything(scan.patients);
  const again = before !== null && known !== null && [...everything(before.patients)].some((key) => keys.has(key));
  const sender = known?.sender ?? (await theQueue().recall<Sender>(SENDER)) ?? {};
  const made = again
    ? { ...known, seen: false, choice: known.choice.filter((key) => keys.has(key)) }
    : undecided(scan, sender, known?.notes);
  show({ scan, decided: made, filesAreHere: true });
  await keepAll();
}

/** A person has decided something. */
export function decide(change: Partial<Decided>): void {
  const before = decided.peek();
  if (!before) return;
  decided.value = { ...before, ...change };
  void keepDecided();
}

export const choice = computed<Choice>(() => new Set(decided.value?.choice ?? []));

async function keepAll(): Promise<void> {
  const scan = scanned.peek();
  if (!scan) return;
  const found = { ...scan, at: gatewayTime().ms };
  await theQueue()
    .keepDraft(owner.peek(), "found", found)
    .catch(() => undefined); // a full device: it is on the screen
  await keepDecided();
}

let writing: Promise<void> = Promise.resolve();
let waiting = false;

/** One writing at a time; what changes meanwhile is written after it, once. */
function keepDecided(): Promise<void> {
  if (waiting) return writing;
  waiting = true;
  writing = writing.then(async () => {
    waiting = false;
    const made = decided.peek();
    if (made)
      await theQueue()
        .keepDraft(owner.peek(), "decided", made)
        .catch(() => undefined); // a full device
  });
  return writing;
}

/** It is sent, or nobody wants to send it. */
export async function endReview(): Promise<void> {
  const whose = owner.peek();
  show(null);
  await writing;
  await theQueue().forgetDraft(whose);
}

/** Known the next time, too. */
export async function rememberSender(): Promise<void> {
  const sender = decided.peek()?.sender;
  if (sender?.name || sender?.phone) await theQueue().remember(SENDER, sender);
}
