/** Which examples a step takes, and how they are cut into passes. */
import { describe, expect, test } from "vitest";
import type { Example } from "../../../src/jobs/training/define-material.ts";
import { cutIntoPasses, rowOf, stepsOver } from "../../../src/jobs/training/schedule-examples.ts";

const example = (line: number, ...lengths: number[]): Example => ({
  place: { file: "a", line },
  lengths,
  scoredTokens: 1,
  share: 1,
  answers: [],
});
const some = (n: number) => Array.from({ length: n }, (_, i) => example(i + 1, 5 + (i % 7)));
const lines = (examples: readonly Example[]) => examples.map(({ place }) => place.line);

describe("steps", () => {
  test("take every example once an epoch, each time in another order", () => {
    const { perEpoch, at } = stepsOver(some(10), { batch: 4, seed: 3 });
    expect(perEpoch).toBe(3);
    const epochs = [0, 1].map((epoch) =>
      [1, 2, 3].flatMap((step) => lines(at(epoch * perEpoch + step))),
    );
    for (const epoch of epochs)
      expect(epoch.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(at(3)).toHaveLength(2); // what is left
  });

  test("are the same for a seed, whatever was asked before, and others for another", () => {
    const of = (seed: number) => stepsOver(some(50), { batch: 8, seed });
    const [first, second, other] = [of(1), of(1), of(2)];
    for (let step = 1; step <= 20; step++) first.at(step);
    expect(lines(first.at(9))).toEqual(lines(second.at(9)));
    expect(lines(first.at(9))).not.toEqual(lines(other.at(9)));
  });
});

describe("passes", () => {
  test("hold no more tokens than they may, put like lengths together, and lose nothing", () => {
    const given = [
      example(1, 30),
      example(2, 4),
      example(3, 29),
      example(4, 5),
      example(5, 3, 2),
      example(6, 31),
    ];
    const passes = cutIntoPasses(given, 64);
    expect(passes.map(lines)).toEqual([
      [6, 1],
      [3, 4, 2, 5],
    ]);
    expect(passes.map(rowOf)).toEqual([32, 32]);
  });

  test("hold an example alone that has more", () => {
    expect(cutIntoPasses([example(1, 3), example(2, 60, 50)], 64).map(lines)).toEqual([[2], [1]]);
  });
});
