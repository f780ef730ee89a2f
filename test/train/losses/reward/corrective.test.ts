import { afterAll, beforeAll, expect, test } from "vitest";
import { Graph } from "../../../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { corrective } from "../../../../src/train/losses/reward/corrective.ts";
import { nd } from "../../../support/arrays.ts";
import { evaluate, feed, inputs } from "../../../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

interface Numbers {
  logps: number[];
  weights: number[];
  scores: number[];
  targets: number[];
}

async function termsOf(numbers: Numbers) {
  const column = (values: number[]) => feed("float64", nd([values.length], values));
  const feeds = {
    logps: column(numbers.logps),
    weights: column(numbers.weights),
    scores: column(numbers.scores),
    targets: column(numbers.targets),
  };
  const g = new Graph();
  const { loss, metrics } = corrective.build(g, inputs(g, feeds), {});
  const results = await evaluate(runtime, g, { ...metrics, loss }, feeds);
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data[0]]));
}

test("adds the mean of −log p over known tokens and half the mean squared error of the scores", async () => {
  const terms = await termsOf({
    logps: [-1, -2, -50],
    weights: [1, 1, 0],
    scores: [1, 0.5, 1],
    targets: [1, -1, -1],
  });
  expect(terms["naming"]).toBeCloseTo(1.5, 12);
  expect(terms["scoring"]).toBeCloseTo((0 + 2.25 + 4) / 3, 12);
  expect(terms["loss"]).toBeCloseTo(1.5 + 6.25 / 6, 12);
});
test("reports the share of scores with their target's sign; 0 has none", async () => {
  const flat = { logps: [0, 0, 0, 0], weights: [1, 1, 1, 1] };
  const terms = await termsOf({ ...flat, scores: [2, -0.1, 0, 3], targets: [1, -1, 1, -1] });
  expect(terms["accuracy"]).toBe(0.5);
});
