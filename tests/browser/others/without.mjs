// Scripts that take away from a browser what the app needs, each before the app's own begin.

export const WITHOUT = {
  "no crypto.subtle": "Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });",
  "no BroadcastChannel": "delete globalThis.BroadcastChannel;",
  "no navigator.locks": "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });",
  "no IndexedDB": "Object.defineProperty(globalThis, 'indexedDB', { value: undefined });",
  "no HTTPS": "Object.defineProperty(globalThis, 'isSecureContext', { value: false }); Object.defineProperty(Crypto.prototype, 'subtle', { value: undefined });",
  "a store that is forbidden": "IDBFactory.prototype.open = () => { throw new DOMException('', 'SecurityError'); };",
  "a store that is forbidden even to be named": "Object.defineProperty(globalThis, 'indexedDB', { get() { throw new DOMException('', 'SecurityError'); } });",
  "a store that doesn't open": failing("UnknownError"),
  "a store on a full device": failing("QuotaExceededError"),
  "a store of a newer app": failing("VersionError"),
  "a step that throws": "addEventListener = (name) => { if (name === 'hashchange') throw new TypeError('broken'); };",
};

/** The store is held for ever by whoever will not end; the app waits for it a twentieth of its time. */
export const HELD = `
  const real = setTimeout;
  globalThis.setTimeout = (act, ms, ...more) => real(act, ms === 20_000 ? 1_000 : ms, ...more);
  indexedDB.open("relaypacs").onsuccess = ({ target }) => {
    const store = target.result.transaction("StudyStore", "readwrite").objectStore("StudyStore");
    const hold = () => (store.count().onsuccess = hold);
    hold();
  };`;

function failing(name) {
  return `IDBFactory.prototype.open = () => {
    const request = new EventTarget();
    Object.setPrototypeOf(request, IDBOpenDBRequest.prototype);
    Object.defineProperty(request, "error", { value: new DOMException("", "${name}") });
    request.addEventListener = (kind, hear) => { if (kind === "error") queueMicrotask(() => hear(new Event("error"))); };
    return request;
  };`;
}
