import { afterEach, expect, test, vi } from "vitest";
import { gatewayTime, hear } from "../src/upload/clock";

afterEach(() => void vi.useRealTimers());

test("until the gateway has spoken, the device's clock is all there is; then its own goes on, and is sure for a while", () => {
  vi.useFakeTimers({ now: Date.UTC(2031, 0, 1) });
  expect(gatewayTime()).toEqual({ ms: Date.UTC(2031, 0, 1), sure: false });
  hear(new Response(null, { headers: { Date: "not a date" } }));
  expect(gatewayTime().sure).toBe(false);
  hear(new Response(null, { headers: { Date: "Wed, 25 Nov 2026 03:12:00 GMT" } }));
  vi.advanceTimersByTime(60_000);
  expect(gatewayTime()).toEqual({ ms: Date.UTC(2026, 10, 25, 3, 13), sure: true });
  vi.setSystemTime(Date.UTC(1999, 0, 1)); // somebody sets the device's clock
  vi.advanceTimersByTime(60_000);
  expect(gatewayTime()).toEqual({ ms: Date.UTC(2026, 10, 25, 3, 14), sure: false });
});
