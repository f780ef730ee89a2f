import { afterAll, beforeAll, expect, test } from "vitest";
import { Graph } from "../../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import { sft } from "../../../src/train/losses/supervised/sft.ts";
import { nd } from "../../support/arrays.ts";
import { evaluate, feed, inputs } from "../../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

async function lossOf(probabilities: number[], weights: number[]): Promise<number> {
  const shape = [probabilities.length];
  const feeds = {
    logps: feed("float64", nd(shape, probabilities.map(Math.log))),
    weights: feed("float64", nd(shape, weights)),
  };
  const g = new Graph();
  const { loss } = sft.build(g, inputs(g, feeds), {});
  return (await evaluate(runtime, g, { loss }, feeds)).loss.data[0]!;
}

test("is the mean negative log-likelihood: of ½, ¼ and ⅛ it is 2 ln 2", async () => {
  expect(await lossOf([1 / 2, 1 / 4, 1 / 8], [1, 1, 1])).toBeCloseTo(2 * Math.LN2, 12);
});
test("is ln V for a uniform guess among V", async () => {
  expect(await lossOf([1 / 50, 1 / 50], [1, 1])).toBeCloseTo(Math.log(50), 12);
});
test("leaves out tokens of weight 0 and counts one of weight 3 three times", async () => {
  expect(await lossOf([1 / 2, 1e-9, 1 / 4], [1, 0, 3])).toBeCloseTo((7 / 4) * Math.LN2, 12);
});
