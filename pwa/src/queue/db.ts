/**
 * The queue in IndexedDB. It is the truth on this device: whatever a screen or a worker knows, it has from here.
 * Lists never touch SegmentStore; payload is read by primary key only (WebKit loses blobs and slows down otherwise).
 */
import { type DBSchema, deleteDB, type IDBPDatabase, openDB } from "idb";
import { insist } from "./full";
import { storesFree } from "./going";
import type { ChunkRow, FileName, FileRow, StudyRow } from "./rows";
import { newKey, open, openJson, type Sealed, seal, sealJson } from "./seal";

interface Schema extends DBSchema {
  StudyStore: { key: string; value: StudyRow };
  FileStore: { key: string; value: FileRow; indexes: { study_id: string } };
  SegmentStore: { key: [string, number]; value: Sealed };
  ChunkStore: { key: [string, number]; value: ChunkRow };
  KeyStore: { key: string; value: CryptoKey | Sealed };
}

const NAME = "relaypacs";
const BATCH = 16;
const DRAFT = "draft|";
/** `found`: what lay in the picked files, written once. `decided`: what a person made of it, written as they go. */
const DRAFT_PARTS = ["found", "decided"] as const;
export type DraftPart = (typeof DRAFT_PARTS)[number];
/** Stores that hang never say so: neither while they are opened nor when they are read. */
const ANSWERS_WITHIN_MS = 20_000;

/** What is stored was sealed by a key that is gone. */
export class KeyLost extends Error {
  override readonly name = "KeyLost";
}

export class Queue {
  private constructor(
    private readonly db: IDBPDatabase<Schema>,
    private readonly key: CryptoKey,
  ) {}

  /**
   * @param onEnd another tab has a newer app, or removes everything: this connection is closed
   * @throws DOMException: the browser has no store for us, or it doesn't open, or doesn't answer; KeyLost
   */
  static async open(onEnd?: (why: "newer" | "removed") => void): Promise<Queue> {
    const opening = openDB<Schema>(NAME, 1, {
      upgrade(fresh) {
        fresh.createObjectStore("StudyStore", { keyPath: "id" });
        fresh.createObjectStore("FileStore", { keyPath: "id" }).createIndex("study_id", "study_id");
        fresh.createObjectStore("SegmentStore");
        fresh.createObjectStore("ChunkStore", { keyPath: ["file_id", "chunk_index"] });
        fresh.createObjectStore("KeyStore");
      },
      blocking(_from, to, event) {
        (event.target as IDBDatabase).close();
        onEnd?.(to === null ? "removed" : "newer");
      },
    });
    const db = await inTime(opening);
    try {
      const [key] = await inTime(Promise.all([deviceKey(db), answers(db)]));
      return new Queue(db, key);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /**
   * Everything of this device goes, the key too. The rows first: a tab that the browser has frozen can hold up the
   * deletion of the database, and nothing else.
   */
  static async removeAll(queue: Queue): Promise<void> {
    const tx = queue.db.transaction(queue.db.objectStoreNames, "readwrite");
    for (const name of queue.db.objectStoreNames) void tx.objectStore(name).clear();
    await tx.done;
    queue.db.close();
    await new Promise<void>((done) => void deleteDB(NAME, { blocked: () => done() }).then(() => done()));
  }

  close(): void {
    this.db.close();
  }

  private async free(): Promise<IDBPDatabase<Schema>> {
    await storesFree();
    return this.db;
  }

  // Secrets and settings, sealed under a name.

  async remember(name: string, value: unknown): Promise<void> {
    const sealed = await sealJson(this.key, value, `KeyStore|${name}`);
    await (await this.free()).put("KeyStore", sealed, name);
  }

  async recall<T>(name: string): Promise<T | null> {
    const found = await (await this.free()).get("KeyStore", name);
    return found && !(found instanceof CryptoKey) ? openJson<T>(this.key, found, `KeyStore|${name}`) : null;
  }

  async forget(name: string): Promise<void> {
    await (await this.free()).delete("KeyStore", name);
  }

  // What was picked and is not sent yet, by whose it is

  async keepDraft(owner: string, part: DraftPart, value: unknown): Promise<void> {
    await this.remember(`${DRAFT}${part}|${owner}`, value);
  }

  async draft<T>(owner: string, part: DraftPart): Promise<T | null> {
    return this.recall<T>(`${DRAFT}${part}|${owner}`);
  }

  async forgetDraft(owner: string): Promise<void> {
    for (const part of DRAFT_PARTS) await this.forget(`${DRAFT}${part}|${owner}`);
  }

  async draftOwners(): Promise<string[]> {
    const begins = `${DRAFT}found|`;
    const names = await (await this.free()).getAllKeys("KeyStore", IDBKeyRange.bound(begins, `${begins}\uffff`));
    return names.map((name) => name.slice(begins.length));
  }

  // Studies

  async sealFor(id: string, column: string, value: unknown): Promise<Sealed> {
    return sealJson(this.key, value, `StudyStore|${column}|${id}`);
  }

  async openFor<T>(id: string, column: string, sealed: Sealed): Promise<T> {
    return openJson<T>(this.key, sealed, `StudyStore|${column}|${id}`);
  }

  async studies(): Promise<StudyRow[]> {
    return (await this.free()).getAll("StudyStore");
  }

  async study(id: string): Promise<StudyRow | undefined> {
    return (await this.free()).get("StudyStore", id);
  }

  /** Read, change and write in one transaction; undefined: it is gone. Of a full device it is patient. */
  async change(id: string, act: (row: StudyRow) => Partial<StudyRow>): Promise<StudyRow | undefined> {
    return insist(async () => {
      const tx = (await this.free()).transaction("StudyStore", "readwrite");
      const row = await tx.store.get(id);
      const changed = row && { ...row, ...act(row), changed_at: Date.now() };
      if (changed) void tx.store.put(changed);
      await tx.done;
      return changed;
    });
  }

  /** A study with all its files, at once or not at all. */
  async add(study: StudyRow, files: readonly FileRow[]): Promise<void> {
    const tx = (await this.free()).transaction(["StudyStore", "FileStore"], "readwrite");
    void tx.objectStore("StudyStore").put(study);
    for (const file of files) void tx.objectStore("FileStore").put(file);
    await tx.done;
  }

  async remove(id: string): Promise<void> {
    const ids = await this.fileIds(id);
    await this.dropBytes(ids);
    const tx = (await this.free()).transaction(["StudyStore", "FileStore"], "readwrite");
    for (const file of ids) void tx.objectStore("FileStore").delete(file);
    void tx.objectStore("StudyStore").delete(id);
    await tx.done;
  }

  // Files

  async files(studyId: string): Promise<FileRow[]> {
    return (await this.free()).getAllFromIndex("FileStore", "study_id", studyId);
  }

  private async fileIds(studyId: string): Promise<string[]> {
    return (await this.free()).getAllKeysFromIndex("FileStore", "study_id", studyId);
  }

  async nameFile(id: string, name: FileName): Promise<Sealed> {
    return sealJson(this.key, name, `FileStore|named|${id}`);
  }

  async fileName(file: FileRow): Promise<FileName> {
    return openJson<FileName>(this.key, file.named, `FileStore|named|${file.id}`);
  }

  /** Of a full device it is patient. */
  async changeFiles(ids: readonly string[], change: Partial<FileRow>): Promise<void> {
    return insist(async () => {
      const tx = (await this.free()).transaction("FileStore", "readwrite");
      for (const id of ids) {
        const row = await tx.store.get(id);
        if (row) void tx.store.put({ ...row, ...change });
      }
      await tx.done;
    });
  }

  /** The gateway has them whole. */
  async markSent(ids: readonly string[]): Promise<void> {
    return insist(async () => {
      const tx = (await this.free()).transaction("FileStore", "readwrite");
      for (const row of await Promise.all(ids.map((id) => tx.store.get(id)))) {
        if (row) void tx.store.put({ ...row, state: "sent", offset: row.size, problem: null });
      }
      await tx.done;
    });
  }

  // Bytes

  async sealSegment(fileId: string, index: number, bytes: ArrayBuffer): Promise<Sealed> {
    return seal(this.key, bytes, `SegmentStore|${fileId}|${index}`);
  }

  /** Write segments, and mark as stored the files that became whole by them: one transaction. */
  async putSegments(
    segments: readonly { file: string; index: number; sealed: Sealed }[],
    whole: readonly string[],
  ): Promise<void> {
    const tx = (await this.free()).transaction(["SegmentStore", "FileStore"], "readwrite");
    const rows = new Map<string, FileRow | undefined>();
    for (const id of new Set([...segments.map(({ file }) => file), ...whole]))
      rows.set(id, await tx.objectStore("FileStore").get(id));
    for (const { file, index, sealed } of segments) {
      if (rows.get(file)) void tx.objectStore("SegmentStore").put(sealed, [file, index]); // else it was removed meanwhile
    }
    for (const id of whole) {
      const row = rows.get(id);
      if (row) void tx.objectStore("FileStore").put({ ...row, state: "stored", problem: null });
    }
    await tx.done;
  }

  /** Those from `first` to `last`. @returns null: the browser has lost one */
  async segments(fileId: string, first: number, last: number): Promise<ArrayBuffer[] | null> {
    const found = await (await this.free()).getAll("SegmentStore", IDBKeyRange.bound([fileId, first], [fileId, last]));
    if (found.length !== last - first + 1) return null;
    return Promise.all(
      found.map((sealed, number) => open(this.key, sealed, `SegmentStore|${fileId}|${first + number}`)),
    );
  }

  async acknowledged(file: FileRow, index: number, offset: number): Promise<void> {
    const tx = (await this.free()).transaction(["ChunkStore", "FileStore"], "readwrite");
    void tx.objectStore("ChunkStore").put({ file_id: file.id, chunk_index: index, uploaded: offset });
    const row = await tx.objectStore("FileStore").get(file.id);
    if (row) void tx.objectStore("FileStore").put({ ...row, offset });
    await tx.done;
  }

  /** The study's bytes leave the device; its rows stay. */
  async dropStudyBytes(studyId: string): Promise<void> {
    await this.dropBytes(await this.fileIds(studyId));
  }

  async dropBytes(fileIds: readonly string[]): Promise<void> {
    for (let at = 0; at < fileIds.length; at += BATCH) {
      const tx = (await this.free()).transaction(["SegmentStore", "ChunkStore"], "readwrite");
      for (const id of fileIds.slice(at, at + BATCH)) {
        const all = IDBKeyRange.bound([id, 0], [id, Number.MAX_SAFE_INTEGER]);
        void tx.objectStore("SegmentStore").delete(all);
        void tx.objectStore("ChunkStore").delete(all);
      }
      await tx.done;
    }
  }
}

/** All of its stores, to whoever wants to write. */
async function answers(db: IDBPDatabase<Schema>): Promise<void> {
  await db.transaction(db.objectStoreNames, "readwrite").done;
}

/** @throws DOMException TimeoutError */
async function inTime<T>(asked: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, failed) => {
    timer = setTimeout(() => failed(new DOMException("the store doesn't answer", "TimeoutError")), ANSWERS_WITHIN_MS);
  });
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}

/** A new key only where it has nothing to open: over what another one sealed it would seal in vain. */
async function deviceKey(db: IDBPDatabase<Schema>): Promise<CryptoKey> {
  const known = await db.get("KeyStore", "device");
  if (known instanceof CryptoKey) return known;
  const fresh = await newKey();
  const tx = db.transaction(db.objectStoreNames, "readwrite");
  const meanwhile = await tx.objectStore("KeyStore").get("device"); // another tab may have been quicker
  const rows = await Promise.all([...db.objectStoreNames].map((name) => tx.objectStore(name).count()));
  const empty = rows.every((count) => count === 0);
  if (empty) void tx.objectStore("KeyStore").put(fresh, "device");
  await tx.done;
  if (meanwhile instanceof CryptoKey) return meanwhile;
  if (!empty) throw new KeyLost();
  return fresh;
}
