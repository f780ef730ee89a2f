/** Discriminators: what they estimate at their optimum is the divergence, and nothing else is more. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Graph } from "../../../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import { adversarial } from "../../../../src/train/losses/reward/adversarial.ts";
import { nd } from "../../../support/arrays.ts";
import { evaluate, feed, inputs } from "../../../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

type Divergence = "gail" | "airl" | "fairl";

async function lossOf(divergence: Divergence, demonstrations: number[], own: number[]) {
  const each = (x: number) =>
    feed(
      "float64",
      nd(
        [own.length],
        own.map(() => x),
      ),
    );
  const feeds = {
    chosen: feed("float64", nd([demonstrations.length], demonstrations)),
    rejected: feed("float64", nd([own.length], own)),
    margins: each(0),
    weights: each(1),
    demonstrated: each(1),
  };
  const g = new Graph();
  const { loss } = adversarial.build(g, inputs(g, feeds), { divergence });
  return (await evaluate(runtime, g, { loss }, feeds)).loss.data[0]!;
}

/** Scores of two outcomes: demonstrated half and half, produced nine times to one. */
const inProportion = (divergence: Divergence, [first, second]: readonly [number, number]) =>
  lossOf(
    divergence,
    [...Array(5).fill(first), ...Array(5).fill(second)],
    [...Array(9).fill(first), second],
  );

describe.each([
  ["gail", 0.20349845, [Math.log(5 / 9), Math.log(5)]],
  ["airl", 0.368064207, [Math.log(5 / 9), Math.log(5)]],
  ["fairl", 0.510825624, [1 + Math.log(5 / 9), 1 + Math.log(5)]],
] as const)("%s", (divergence, expected, [first, second]) => {
  test("is least, and minus the divergence, at the log-ratio of the two laws", async () => {
    expect(await inProportion(divergence, [first, second])).toBeCloseTo(-expected, 8);
    for (const [a, b] of [
      [0.1, 0],
      [-0.1, 0],
      [0, 0.1],
      [0.2, -0.3],
    ] as const)
      expect(await inProportion(divergence, [first + a, second + b])).toBeGreaterThan(-expected);
  });
});

test("gail is the cross-entropy of a classifier less 2 ln 2; its score is the demonstration reward", async () => {
  const logit = (p: number) => Math.log(p / (1 - p));
  const loss = await lossOf("gail", [logit(0.8)], [logit(0.3)]);
  expect(loss + 2 * Math.LN2).toBeCloseTo(0.579818495, 9);
});
