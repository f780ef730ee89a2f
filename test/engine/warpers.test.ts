import { describe, expect, test } from "vitest";
import { GatewayError } from "../../src/base/errors.ts";
import { Support } from "../../src/engine/support.ts";
import {
  addBias,
  keepMinP,
  keepTopK,
  keepTopP,
  penalizeRepetition,
} from "../../src/engine/warpers.ts";

function supportOf(values: readonly number[]): Support {
  const support = new Support();
  support.load(Float32Array.from(values));
  return support;
}

/** Id and probability of what is left, most likely first. */
function distribution(support: Support): [number, number][] {
  const total = support.total();
  const left = Array.from({ length: support.count }, (_, i): [number, number] => {
    return [support.ids[i]!, support.values[i]! / total];
  });
  return left.sort((a, b) => b[1] - a[1]);
}

function expectProbabilities(support: Support, expected: readonly number[]): void {
  const actual = distribution(support).map(([, p]) => p);
  expect(actual).toHaveLength(expected.length);
  for (const [i, p] of expected.entries()) expect(actual[i]).toBeCloseTo(p, 5);
}

// The vectors of llama.cpp's tests/test-sampling.cpp, all on the probabilities .1, .2, .3, .4.
const tenths = [0.1, 0.2, 0.3, 0.4];

describe("keepTopK", () => {
  test.each([
    [1, [1]],
    [3, [0.44444, 0.33333, 0.22222]],
    [4, [0.4, 0.3, 0.2, 0.1]],
    [0, [0.4, 0.3, 0.2, 0.1]],
  ])("of %d leaves %j of .1, .2, .3, .4", (k, expected) => {
    const support = supportOf(tenths);
    keepTopK(support, k);
    expectProbabilities(support, expected);
  });

  test("keeps the lowest ids of equals, exactly k", () => {
    const support = supportOf([1, 2, 1, 2, 1, 2]);
    keepTopK(support, 4);
    expect([...support.ids.subarray(0, support.count)]).toEqual([0, 1, 3, 5]);
  });
});

describe("keepTopP", () => {
  test.each([
    [0, [1]],
    [0.7, [0.571429, 0.428571]],
    [0.8, [0.44444, 0.33333, 0.22222]],
    [1, [0.4, 0.3, 0.2, 0.1]],
  ])("of %d leaves %j of .1, .2, .3, .4", (p, expected) => {
    const support = supportOf(tenths);
    keepTopP(support, p);
    expectProbabilities(support, expected);
  });

  test("keeps the lowest ids of equals", () => {
    const support = supportOf([1, 1, 1, 1]);
    keepTopP(support, 0.5);
    expect([...support.ids.subarray(0, support.count)]).toEqual([0, 1]);
  });
});

describe("keepMinP", () => {
  test.each([
    [0, [0.4, 0.3, 0.2, 0.1]],
    [0.24, [0.4, 0.3, 0.2, 0.1]],
    [0.26, [0.4 / 0.9, 0.3 / 0.9, 0.2 / 0.9]],
    [0.49, [0.4 / 0.9, 0.3 / 0.9, 0.2 / 0.9]],
    [0.51, [0.4 / 0.7, 0.3 / 0.7]],
    [0.74, [0.4 / 0.7, 0.3 / 0.7]],
    [0.76, [1]],
    [1, [1]],
  ])("of %d leaves %j of .1, .2, .3, .4", (minP, expected) => {
    const support = supportOf(tenths.map(Math.log));
    support.weigh(support.values[3]!, 1);
    keepMinP(support, minP);
    expectProbabilities(support, expected);
  });
});

describe("addBias", () => {
  test("adds to the logits it names", () => {
    const support = supportOf([1, 2, 3]);
    addBias(support, new Map([[0, 0.5], [2, -4]])); // biome-ignore format: pairs
    expect([...support.values]).toEqual([1.5, 2, -1]);
  });

  test("bans at −100, even what the model is certain of", () => {
    const support = supportOf([Infinity, 2]);
    addBias(support, new Map([[0, -100]]));
    expect([...support.values]).toEqual([-Infinity, 2]);
  });

  test("leaves only the forced tokens at +100, in their own proportion", () => {
    const support = supportOf([500, 2, 3, 4]);
    addBias(support, new Map([[1, 100], [3, 100], [0, 5]])); // biome-ignore format: pairs
    expect([...support.values]).toEqual([-Infinity, 102, -Infinity, 104]);
  });

  test("refuses a token outside the vocabulary", () => {
    const refusal = () => addBias(supportOf([1, 2]), new Map([[2, 1]]));
    expect(refusal).toThrow(GatewayError);
    expect(refusal).toThrow("Invalid 'logit_bias': token 2 does not exist");
  });
});

describe("penalizeRepetition", () => {
  test("subtracts count·frequency + presence from what occurred", () => {
    const support = supportOf([10, 10, 10]);
    const penalties = { frequencyPenalty: 0.5, presencePenalty: 2 };
    penalizeRepetition(support, new Map([[0, 1], [2, 3]]), penalties); // biome-ignore format: pairs
    expect([...support.values]).toEqual([7.5, 10, 6.5]);
  });
});
