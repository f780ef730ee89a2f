import { expect, test } from "vitest";
import { diversityOf } from "../../src/strategies/diversity.ts";

test("copies have no distance, and count once", () => {
  expect(diversityOf(["a cat", "a cat", "a cat", "a cat"])).toEqual({
    distinct: 0.25,
    distance: 0,
  });
});

test("texts without a common word have distance 1", () => {
  expect(diversityOf(["red green", "blue", "white!"])).toEqual({ distinct: 1, distance: 1 });
});

test("is the mean of 1 − |A ∩ B|/|A ∪ B| over the pairs", () => {
  // {the cat sat .} {the dog sat .}: 3 of 5 shared; {the cat sat .} {a fish}: none; {the dog sat .} {a fish}: none
  const { distinct, distance } = diversityOf(["The cat sat.", "the dog sat .", "a fish"]);
  expect(distinct).toBe(1);
  expect(distance).toBeCloseTo((2 / 5 + 1 + 1) / 3, 12);
});

test("one text, none and empty ones have no distance", () => {
  expect(diversityOf([])).toEqual({ distinct: 0, distance: 0 });
  expect(diversityOf(["one"])).toEqual({ distinct: 1, distance: 0 });
  expect(diversityOf(["", ""])).toEqual({ distinct: 0.5, distance: 0 });
});
