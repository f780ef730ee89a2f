/** Every loss by one suite, whatever its formula; the exact numbers of each are in a file of its own. */
import { Value as Json } from "typebox/value";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../../src/onnx/backward.ts";
import type { DType } from "../../../src/onnx/dtype.ts";
import { Graph, type Value } from "../../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import type {
  ActorCriticTerms,
  DistillationTerms,
  Loss,
  LossTerms,
  PolicyTerms,
  RewardListTerms,
  RewardPairTerms,
  RewardPointTerms,
} from "../../../src/train/losses/define.ts";
import { losses, lossNamed } from "../../../src/train/losses/index.ts";
import { type Nd, nd, random } from "../../support/arrays.ts";
import { gradientError } from "../../support/gradients.ts";
import { evaluate, type Feeds, feed, inputs } from "../../support/graphs.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const policyTerms = {
  logps: random(5, [6], -3, 0),
  weights: nd([6], [1, 1, 0, 0.5, 2, 1]),
  old: random(6, [6], -3, 0),
  reference: random(7, [6], -3, 0),
  advantages: random(8, [6], -1, 1),
  owners: nd([6], [0, 0, 0, 1, 1, 2]),
  lengths: nd([3], [3, 2, 1]),
};

/** What a family's losses are given: numbers of an ordinary batch, and the ones that depend on the model. */
const families: Record<Loss["family"], { terms: Record<string, Nd>; trained: readonly string[] }> =
  {
    supervised: {
      terms: { logps: random(1, [6], -8, 0), weights: nd([6], [1, 1, 0, 0.5, 2, 1]) },
      trained: ["logps"],
    },
    distillation: {
      terms: {
        logps: random(1, [4], -8, 0),
        weights: nd([4], [1, 0, 0.5, 2]),
        student: random(14, [4, 3], -8, 0),
        teacher: random(15, [4, 3], -4, -1),
      },
      trained: ["logps", "student"],
    },
    reward: {
      terms: {
        chosen: random(1, [5], -3, 3),
        rejected: random(2, [5], -3, 3),
        margins: nd([5], [0, 0.5, 0, -0.25, 1]),
        weights: nd([5], [1, 0.5, 0, 2, 1]),
        demonstrated: nd([5], [1, 0, 0, 1, 0]),
      },
      trained: ["chosen", "rejected"],
    },
    "reward-list": {
      terms: {
        scores: random(12, [2, 4], -3, 3),
        present: nd([2, 4], [1, 1, 1, 1, 1, 1, 0, 0]),
      },
      trained: ["scores"],
    },
    "reward-point": {
      terms: {
        scores: random(13, [5], -3, 3),
        targets: nd([5], [1, 0, 1, 0.5, -1]),
        weights: nd([5], [1, 1, 0.5, 0, 2]),
      },
      trained: ["scores"],
    },
    correction: {
      terms: {
        logps: random(3, [4], -8, 0),
        weights: nd([4], [1, 0, 1, 1]),
        scores: random(4, [4], -3, 3),
        targets: nd([4], [1, -1, -1, 1]),
      },
      trained: ["logps", "scores"],
    },
    policy: { terms: policyTerms, trained: ["logps"] },
    "actor-critic": {
      terms: {
        ...policyTerms,
        values: random(9, [6], -1, 1),
        oldValues: random(10, [6], -1, 1),
        returns: random(11, [6], -1, 1),
      },
      trained: ["logps", "values"],
    },
  };

/** The loss over inputs of its family's terms, with default options. */
function build(g: Graph, loss: Loss, feeds: Feeds): LossTerms {
  const terms: Record<string, Value> = inputs(g, feeds);
  const options = Json.Create(loss.options);
  switch (loss.family) {
    case "supervised":
      return loss.build(g, { logps: terms["logps"]!, weights: terms["weights"]! }, options);
    case "distillation":
      return loss.build(g, terms as unknown as DistillationTerms, options); // the feeds above are its terms
    case "reward":
      return loss.build(g, terms as unknown as RewardPairTerms, options);
    case "reward-list":
      return loss.build(g, terms as unknown as RewardListTerms, options);
    case "reward-point":
      return loss.build(g, terms as unknown as RewardPointTerms, options);
    case "correction": {
      const { logps, weights, scores, targets } = terms;
      return loss.build(
        g,
        { logps: logps!, weights: weights!, scores: scores!, targets: targets! },
        options,
      );
    }
    case "actor-critic":
      return loss.build(g, terms as unknown as ActorCriticTerms, options);
    case "policy":
      return loss.build(g, terms as unknown as PolicyTerms, options); // the feeds above are its terms
  }
}

const WHOLE_NUMBERS = ["owners"];
const feedsOf = (terms: Record<string, Nd>, dtype: DType): Feeds =>
  Object.fromEntries(
    Object.entries(terms).map(([name, numbers]) => [
      name,
      feed(WHOLE_NUMBERS.includes(name) ? "int64" : dtype, numbers),
    ]),
  );

const allFinite = (numbers: readonly number[]) => numbers.every(Number.isFinite);

describe.each(losses.map((loss) => [loss.name, loss] as const))("%s", (_, loss) => {
  const { terms, trained } = families[loss.family];

  test("is a finite scalar, with metrics that are finite scalars, in both precisions", async () => {
    for (const dtype of ["float32", "float64"] as const) {
      const feeds = feedsOf(terms, dtype);
      const g = new Graph();
      const { loss: value, metrics } = build(g, loss, feeds);
      const results = await evaluate(runtime, g, { ...metrics, loss: value }, feeds);
      for (const { shape, data } of Object.values(results)) {
        expect(shape).toEqual([]);
        expect(data[0]).toSatisfy(Number.isFinite);
      }
    }
  });

  test("has the gradient differences give, by all that depends on the model", async () => {
    const feeds = feedsOf(terms, "float64");
    const g = new Graph();
    const question = { g, y: build(g, loss, feeds).loss, feeds, wanted: trained };
    expect(await gradientError(runtime, question)).toBeLessThan(1e-8);
  });

  test.each([1e4, -1e4])("stays finite for numbers far apart, with its gradient: %f", async (x) => {
    const far = Object.fromEntries(
      trained.map((name, i) => [
        name,
        nd(
          terms[name]!.shape,
          terms[name]!.data.map(() => (i ? 1 : -1) * x),
        ),
      ]),
    );
    const feeds = feedsOf({ ...terms, ...far }, "float32");
    const g = new Graph();
    const { loss: value } = build(g, loss, feeds);
    const inGraph = trained.map((name) => g.inputs.find((input) => input.name === name)!);
    const slopes = backward(g, value, inGraph).map((slope, i) => [`by ${trained[i]}`, slope]);
    const results = await evaluate(runtime, g, { value, ...Object.fromEntries(slopes) }, feeds);
    for (const { data } of Object.values(results)) expect(data).toSatisfy(allFinite);
  });

  test("is found by its name, and has a default for every option", () => {
    expect(lossNamed(loss.name)).toBe(loss);
    expect(Json.Check(loss.options, Json.Create(loss.options))).toBe(true);
  });
});

test("names are unique, and an unknown one is refused", () => {
  expect(new Set(losses.map(({ name }) => name)).size).toBe(losses.length);
  expect(() => lossNamed("dop")).toThrow(/no loss 'dop'/);
});
