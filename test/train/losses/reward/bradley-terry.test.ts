import { afterAll, beforeAll, expect, test } from "vitest";
import { Graph } from "../../../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { bradleyTerry } from "../../../../src/train/losses/reward/bradley-terry.ts";
import { nd } from "../../../support/arrays.ts";
import { evaluate, feed, inputs } from "../../../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

async function termsOf(chosen: number[], rejected: number[], centering = 0) {
  const feeds = {
    chosen: feed("float64", nd([chosen.length], chosen)),
    rejected: feed("float64", nd([rejected.length], rejected)),
    margins: feed(
      "float64",
      nd(
        [chosen.length],
        chosen.map(() => 0),
      ),
    ),
    weights: feed(
      "float64",
      nd(
        [chosen.length],
        chosen.map(() => 1),
      ),
    ),
    demonstrated: feed(
      "float64",
      nd(
        [chosen.length],
        chosen.map(() => 0),
      ),
    ),
  };
  const g = new Graph();
  const { loss, metrics } = bradleyTerry.build(g, inputs(g, feeds), { centering, temperature: 1 });
  const values = { loss, accuracy: metrics["accuracy"]!, margin: metrics["margin"]! };
  const results = await evaluate(runtime, g, values, feeds);
  return {
    loss: results.loss.data[0]!,
    accuracy: results.accuracy.data[0]!,
    margin: results.margin.data[0]!,
  };
}

test("is ln 2 for equal rewards, which count as wrong", async () => {
  const { loss, accuracy, margin } = await termsOf([0.7, -2], [0.7, -2]);
  expect(loss).toBeCloseTo(Math.LN2, 12);
  expect([accuracy, margin]).toEqual([0, 0]);
});
test("is −ln of the share that the odds give: ln 3 makes it 3 to 1", async () => {
  expect((await termsOf([Math.log(3)], [0])).loss).toBeCloseTo(Math.log(4 / 3), 12);
  expect((await termsOf([0], [Math.log(3)])).loss).toBeCloseTo(Math.log(4), 12);
});
test("is the margin itself when a pair is hopelessly wrong, and 0 when it is safely right", async () => {
  expect((await termsOf([-900], [100])).loss).toBeCloseTo(1000, 9);
  expect((await termsOf([900], [-100])).loss).toBe(0);
});
test("adds c times the mean squared sum of a pair's rewards", async () => {
  const plain = (await termsOf([1, 2], [0, -1])).loss;
  expect((await termsOf([1, 2], [0, -1], 0.1)).loss).toBeCloseTo(plain + 0.1 * ((1 + 1) / 2), 12);
  expect((await termsOf([3, 2], [1, -4], 0.5)).loss).toBeCloseTo(
    (await termsOf([3, 2], [1, -4])).loss + 0.5 * ((16 + 4) / 2),
    12,
  );
});
test("reports the share of pairs in order and the mean margin", async () => {
  const { accuracy, margin } = await termsOf([1, 0, 5, 2], [0, 1, 1, 1]);
  expect([accuracy, margin]).toEqual([0.75, 1.25]);
});
