import { expect, test, vi } from "vitest";

type Connections = typeof import("../src/upload/connections");

/** The locks of one browser, as its tabs see them. */
class Locks {
  readonly held = new Map<string, string>();
  readonly pending: { name: string; clientId: string; begin: () => void }[] = [];

  of(clientId: string): Pick<LockManager, "request" | "query"> {
    const query = async (): Promise<LockManagerSnapshot> => ({
      held: [...this.held].map(([name, by]) => ({ name, clientId: by })),
      pending: this.pending.map(({ name, clientId: by }) => ({ name, clientId: by })),
    });
    const request = (name: string, { signal }: LockOptions, act: LockGrantedCallback<unknown>): Promise<unknown> =>
      new Promise((done, failed) => {
        const begin = (): void => {
          this.held.set(name, clientId);
          void Promise.resolve(act({ name, mode: "exclusive" })).then((result) => {
            this.held.delete(name);
            this.next(name);
            done(result);
          });
        };
        const wish = { name, clientId, begin };
        this.pending.push(wish);
        signal?.addEventListener("abort", () => {
          const at = this.pending.indexOf(wish);
          if (at < 0) return;
          this.pending.splice(at, 1);
          failed(signal.reason);
        });
        queueMicrotask(() => this.next(name));
      });
    return { request: request as LockManager["request"], query };
  }

  private next(name: string): void {
    const at = this.held.has(name) ? -1 : this.pending.findIndex((one) => one.name === name);
    if (at >= 0) this.pending.splice(at, 1)[0]?.begin();
  }
}

/** A tab with files without end to send, as many at once as it may. */
class Tab {
  readonly under: (() => void)[] = [];
  private done = (): void => undefined;

  private constructor(readonly connections: Connections) {}

  static async open(locks: Locks, clientId: string): Promise<Tab> {
    vi.resetModules();
    const connections = await import("../src/upload/connections");
    const { Slots } = await import("../src/upload/slots");
    new Slots(locks.of(clientId));
    return new Tab(connections);
  }

  send(): void {
    this.done = this.connections.lookForRoom(() => this.look());
    this.look();
  }

  private look(): void {
    while (this.connections.roomForFiles(this.under.length) > 0) this.under.push(this.connections.holdForFile());
  }

  /** Each of its files that are under way ends, one after the other, and others begin. */
  async goOn(): Promise<void> {
    for (const end of [...this.under]) {
      this.under.splice(this.under.indexOf(end), 1);
      end();
      await settled();
    }
  }

  /** There is nothing more to send. */
  async end(): Promise<void> {
    this.done();
    for (const end of this.under.splice(0)) end();
    await settled();
  }
}

/** Everybody has heard, and may look around again. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((done) => setTimeout(done));
  now += 600;
  vi.spyOn(performance, "now").mockReturnValue(now);
}
let now = 1_000_000;

test("two tabs hold five connections together, each about as many, and who is left has all of them", async () => {
  const locks = new Locks();
  const [first, second] = [await Tab.open(locks, "first"), await Tab.open(locks, "second")];
  const together = (): number => first.under.length + second.under.length;
  first.send();
  await settled();
  expect(first.under.length).toBe(5);
  second.send();
  await settled();
  expect(together()).toBe(5);
  for (let round = 0; round < 3; round += 1) {
    await first.goOn();
    expect(together()).toBeLessThanOrEqual(5);
    await second.goOn();
    expect(together()).toBeLessThanOrEqual(5);
  }
  expect([first.under.length, second.under.length]).toEqual([2, 2]);
  await first.end();
  await second.goOn();
  await second.goOn();
  expect(second.under.length).toBe(5);
  await second.end();
  expect([locks.held.size, locks.pending.length]).toEqual([0, 0]);
});

test("who follows an upload has one for its stream beside its share of those for files", async () => {
  const locks = new Locks();
  const [first, second] = [await Tab.open(locks, "first"), await Tab.open(locks, "second")];
  first.send();
  await settled();
  second.connections.wantStream();
  await settled();
  expect(second.connections.holdForStream()).toBeNull();
  await first.goOn();
  await first.goOn();
  expect(second.connections.holdForStream()).not.toBeNull();
  second.send();
  await settled();
  for (let round = 0; round < 3; round += 1) {
    await first.goOn();
    await second.goOn();
    expect(first.under.length + second.under.length).toBeLessThanOrEqual(4);
  }
  expect([first.under.length, second.under.length]).toEqual([2, 2]);
});
