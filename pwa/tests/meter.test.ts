import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Channel } from "../src/upload/channel";
import { Meter } from "../src/upload/meter";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function meter(): { told: number[]; it: Meter } {
  const told: number[] = [];
  const tell = (news: { bytes?: number }): void => void told.push(news.bytes ?? -1);
  return { told, it: new Meter({ tell } as unknown as Channel, "a") };
}

test("bytes are told twice a second, and the last ones too, though nothing comes after them", () => {
  const { told, it } = meter();
  it.start([]);
  for (let offset = 1; offset <= 3; offset += 1) it.at("file", offset);
  expect(told).toEqual([0]);
  vi.advanceTimersByTime(500);
  expect(told).toEqual([0, 3]);
  vi.advanceTimersByTime(10_000);
  expect(told).toEqual([0, 3]);
  it.at("file", 4);
  expect(told).toEqual([0, 3, 4]);
});

test("what has ended tells nothing more", () => {
  const { told, it } = meter();
  it.start([]);
  it.at("file", 1);
  it.end();
  vi.advanceTimersByTime(10_000);
  expect(told).toEqual([0]);
});
