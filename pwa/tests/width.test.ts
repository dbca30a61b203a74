import { expect, test } from "vitest";
import document from "../../tests/vectors/widths.json";
import { Width } from "../src/upload/width";

interface Vector {
  name: string;
  least: number;
  most: number;
  first: number;
  samples: [number, number, number, number][];
  counts: number[];
  kept: number;
}

// `relaypacs send` goes by the same ones: tests/unit/client/test_width.py.
test.each(document.vectors as Vector[])("requests at once: $name", ({ least, most, first, samples, counts, kept }) => {
  const width = new Width(least, most, first);
  expect(samples.map((sample) => width.sampled(...sample))).toEqual(counts);
  expect(width.kept).toBe(kept);
});
