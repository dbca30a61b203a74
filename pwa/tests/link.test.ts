import { expect, test } from "vitest";
import { readLink } from "../src/qr/link";

const base64url = (value: unknown): string => btoa(JSON.stringify(value)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const HELD = { endpoint_id: "main", upload_token: "rpq_x", expires_at: "2026-11-24T03:12:00Z" };
const packed = base64url(HELD);
const HERE = "https://relay.example.org";

test("a link of this gateway is read, whole or as its fragment", () => {
  expect(readLink(` ${HERE}/#qr=${packed} `, HERE)).toEqual({ link: HELD });
  expect(readLink(`#qr=${packed}`, HERE)).toEqual({ link: HELD });
});
test("a link to another server is never followed", () => {
  expect(readLink(`https://relay.example.org.evil.test/#qr=${packed}`, HERE)).toEqual({ refused: "foreign" });
  expect(readLink(`http://relay.example.org/#qr=${packed}`, HERE)).toEqual({ refused: "foreign" });
});
test.each(["", "hello", `${HERE}/`, `${HERE}/#qr=`, `${HERE}/#qr=%%%`, `#qr=${base64url({})}`, "javascript:alert(1)#qr=x"])("%j is no link of ours", (text) => {
  expect(readLink(text, HERE)).toEqual({ refused: text.startsWith("javascript") ? "foreign" : "bad" });
});
