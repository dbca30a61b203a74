/**
 * What lies on the device is sealed with AES-GCM under a key that scripts can use and can't read. It keeps casual eyes
 * and other programs' searches out; whoever copies the whole browser profile has the key too (docs/app.md).
 */
export interface Sealed {
  iv: Uint8Array;
  data: ArrayBuffer;
}

export async function newKey(): Promise<CryptoKey> {
  return crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

/** @param place what the bytes belong to: opened anywhere else they are refused */
export async function seal(key: CryptoKey, bytes: BufferSource, place: string): Promise<Sealed> {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const data = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: encoded(place) }, key, bytes);
  return { iv, data };
}

export async function open(key: CryptoKey, sealed: Sealed, place: string): Promise<ArrayBuffer> {
  const iv = sealed.iv as Uint8Array<ArrayBuffer>;
  return crypto.subtle.decrypt({ name: "AES-GCM", iv, additionalData: encoded(place) }, key, sealed.data);
}

export async function sealJson(key: CryptoKey, value: unknown, place: string): Promise<Sealed> {
  return seal(key, encoded(JSON.stringify(value)), place);
}

export async function openJson<T>(key: CryptoKey, sealed: Sealed, place: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await open(key, sealed, place))) as T;
}

function encoded(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
