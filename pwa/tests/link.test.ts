import { expect, test } from "vitest";
import { readLink } from "../src/qr/link";

const base64url = (value: unknown): string =>
  btoa(JSON.stringify(value)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const HELD = { endpoint_id: "main", upload_token: "rpq_x", expires_at: "2026-11-24T03:12:00Z" };
const packed = base64url(HELD);
const HERE = "https://relay.example.org";

test("a link of this gateway is read, whole or as its fragment", () => {
  expect(readLink(` ${HERE}/#qr=${packed} `, HERE)).toEqual({ link: HELD });
  expect(readLink(`#qr=${packed}`, HERE)).toEqual({ link: HELD });
});
test("a link to another server is never followed", () => {
  expect(readLink(`https://relay.example.org.evil.test/#qr=${packed}`, HERE)).toEqual({
    refused: "foreign",
    server: "https://relay.example.org.evil.test",
  });
  expect(readLink(`http://relay.example.org/#qr=${packed}`, HERE)).toEqual({
    refused: "foreign",
    server: "http://relay.example.org",
  });
});
test.each([
  "",
  "hello",
  `${HERE}/`,
  `${HERE}/#qr=`,
  `${HERE}/#qr=%%%`,
  `#qr=${base64url({})}`,
  "javascript:alert(1)#qr=x",
  `#qr=${packed.slice(0, -9)}`,
  `#qr=${packed}`.padEnd(20_000, "A"),
])("%j is no link of ours", (text) => {
  expect(readLink(text, HERE)).toEqual({ refused: "bad" });
});
test.each(["", "rpq x", "rpq_\r\nHost: elsewhere", "rpq_é", "x".repeat(513), 7])(
  "%j is no token, and goes into no header",
  (upload_token) => {
    expect(readLink(`#qr=${base64url({ ...HELD, upload_token })}`, HERE)).toEqual({ refused: "bad" });
  },
);

const LINK = `${HERE}/#qr=${packed}`;
test.each([
  ["brackets", `<${LINK}>`],
  ["a full stop", `${LINK}.`],
  ["words before and after", `Please use this link: ${LINK} until Friday.\nRegards, https://example.org`],
  ["another address before", `https://example.org/a and then ${LINK}`],
  ["a broken line", `${LINK.slice(0, 60)}\r\n${LINK.slice(60, 90)}\n ${LINK.slice(90)}\n\nRegards`],
  ["a line broken before its fragment", LINK.replace("#", "\r\n#")],
  ["Markdown", `[the link](${LINK})`],
  ["no scheme", LINK.replace("https://", "")],
  ["words before its fragment", `Code: #qr=${packed}`],
])("a mail's link is read with %s", (_what, text) => {
  expect(readLink(text, HERE)).toEqual({ link: HELD });
});
test("dressed up or not, another server's link is known for one", () => {
  const told = readLink(`Please use <https://evil.test/\n#qr=${packed}>.`, HERE);
  expect(told).toEqual({ refused: "foreign", server: "https://evil.test" });
  expect(readLink(`evil.test/#qr=${packed}`, HERE)).toEqual({ refused: "bad" });
});
