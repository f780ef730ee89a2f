/** Losses over answers that are good or bad by themselves: formulas in double precision, and worked numbers. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { apoZero } from "../../../../src/train/losses/pair/apo-zero.ts";
import { apoZeroUnpaired } from "../../../../src/train/losses/unpaired/apo-zero-unpaired.ts";
import { bco } from "../../../../src/train/losses/unpaired/bco.ts";
import { kto } from "../../../../src/train/losses/unpaired/kto.ts";
import { answer, pairLossOf, unpairedLossOf } from "../../../support/answer-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

describe("kto", () => {
  test("has the survey's numbers: log-ratios of 1 and −1, and of 0.4 and −1.2, at z = 0", async () => {
    const good = [1, answer(-12, -13)] as const;
    const bad = [0, answer(-15, -14)] as const;
    for (const rated of [[good], [bad], [good, bad]])
      expect((await unpairedLossOf(runtime, kto, {}, rated))["loss"]).toBeCloseTo(0.475020813, 9);
    const other = await unpairedLossOf(runtime, kto, {}, [[1, answer(-1.5, -1.9, 2)]]);
    expect(other["loss"]).toBeCloseTo(0.4900013331, 9);
    const rejected = await unpairedLossOf(runtime, kto, {}, [[0, answer(-6, -4.8, 4)]]);
    expect(rejected["loss"]).toBeCloseTo(0.4700359482, 9);
  });
  test("measures gains from the mean log-ratio of mismatched answers, and weighs the kinds", async () => {
    const options = { beta: 0.5, desirable_weight: 2, undesirable_weight: 3 };
    const mismatched = [answer(-3, -5), answer(-4, -5)]; // z = 1.5
    const rated = [
      [1, answer(3)],
      [0, answer(-2)],
      [0, answer(2)],
    ] as const;
    const results = await unpairedLossOf(runtime, kto, options, rated, mismatched);
    const costs = [2 * sigmoid(-0.75), 3 * sigmoid(-1.75), 3 * sigmoid(0.25)];
    expect(results["loss"]).toBeCloseTo((costs[0]! + costs[1]! + costs[2]!) / 3, 12);
    expect(results["kl"]).toBeCloseTo(1.5, 12);
    expect(results["accuracy"]).toBeCloseTo(2 / 3, 12);
    expect(results["desirable_reward"]).toBeCloseTo(1.5, 12);
    expect(results["undesirable_reward"]).toBeCloseTo(0, 12);
    expect(results["margin"]).toBeCloseTo(1.5, 12);
    expect(results["desirable_logp"]).toBeCloseTo(3, 12);
  });
  test("takes no KL below 0, and then is apo-zero-unpaired", async () => {
    const rated = [
      [1, answer(3)],
      [0, answer(-2)],
    ] as const;
    const results = await unpairedLossOf(runtime, kto, {}, rated, [answer(-9, -5)]);
    expect(results["kl"]).toBe(0);
    const without = await unpairedLossOf(runtime, apoZeroUnpaired, {}, rated);
    expect(results["loss"]).toBeCloseTo(without["loss"]!, 12);
    expect(without["loss"]).toBeCloseTo((sigmoid(-0.3) + sigmoid(-0.2)) / 2, 12);
  });
});

test("apo-zero-unpaired is half of apo-zero on the same answers", async () => {
  const [good, bad] = [answer(3, 1), answer(-2, -1)];
  const pairs = await pairLossOf(runtime, apoZero, {}, [[good, bad]]);
  const rated = [
    [1, good],
    [0, bad],
  ] as const;
  const single = await unpairedLossOf(runtime, apoZeroUnpaired, {}, rated);
  expect(single["loss"]).toBeCloseTo(pairs["loss"]! / 2, 12);
});

describe("bco", () => {
  const log3 = Math.log(3);
  test("classifies by rewards less the middle of both kinds, however many there are of each", async () => {
    const rated = [
      [1, answer(log3 + 5)],
      [0, answer(5 - log3)],
      [0, answer(5 - log3)],
    ] as const;
    const results = await unpairedLossOf(runtime, bco, { beta: 1 }, rated);
    expect(results["shift"]).toBeCloseTo(5, 12);
    expect(results["loss"]).toBeCloseTo(Math.log(4 / 3), 12);
    expect(results["accuracy"]).toBe(1);
  });
  test("without the shift has the survey's number, a mean over answers instead of pairs", async () => {
    const rated = [
      [1, answer(-12, -13)],
      [0, answer(-15, -14)],
    ] as const;
    const results = await unpairedLossOf(runtime, bco, { shift: "none" }, rated);
    expect(results["loss"]).toBeCloseTo(1.28879332 / 2, 8);
  });
  test("with a running shift classifies by the mean over the steps so far", async () => {
    const rated = [
      [1, answer(4)],
      [0, answer(2)],
    ] as const;
    const options = { beta: 1, shift: "running" } as const;
    const notes = { running: { mean: 1, steps: 3 } };
    const found = await unpairedLossOf(runtime, bco, options, rated, [answer(0)], notes);
    expect(found["middle"]).toBeCloseTo(3, 12);
    expect(found["shift"]).toBeCloseTo(1.5, 12); // (1 + 1 + 1 + 3)/4
    const loss = (-Math.log(sigmoid(2.5)) - Math.log(sigmoid(-0.5))) / 2;
    expect(found["loss"]).toBeCloseTo(loss, 12);
  });
  test("with one kind only takes the other's mean for 0", async () => {
    const results = await unpairedLossOf(runtime, bco, { beta: 1 }, [[1, answer(2)]]);
    expect(results["shift"]).toBeCloseTo(1, 12);
    expect(results["loss"]).toBeCloseTo(-Math.log(sigmoid(1)), 12);
    expect(results["undesirable_reward"]).toBe(0);
  });
});
