/** Every loss by one suite, whatever its formula; the exact numbers of each are in a file of its own. */
import type { Static, TObject } from "typebox";
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
import {
  listTerms,
  ordinaryAnswers,
  ordinaryLists,
  ordinaryPairs,
  pairTerms,
  unpairedTerms,
} from "../../support/answer-terms.ts";
import { type Nd, nd, random } from "../../support/arrays.ts";
import { gradientError } from "../../support/gradients.ts";
import { evaluate, type Feeds, feed, inputs } from "../../support/graphs.ts";
import { variants } from "../../support/loss-variants.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** Three answers that a policy drew. */
const drawnAnswers = {
  logps: random(5, [6], -3, 0),
  weights: nd([6], [1, 1, 0, 0.5, 2, 1]),
  old: random(6, [6], -3, 0),
  reference: random(7, [6], -3, 0),
  advantages: random(8, [6], -1, 1),
  owners: nd([6], [0, 0, 0, 1, 1, 2]),
  lengths: nd([3], [3, 2, 1]),
  entropies: random(16, [6], 0.1, 4),
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
    pair: ordinaryPairs,
    unpaired: ordinaryAnswers,
    list: ordinaryLists,
    policy: { terms: drawnAnswers, trained: ["logps"] },
    "actor-critic": {
      terms: {
        ...drawnAnswers,
        values: random(9, [6], -1, 1),
        oldValues: random(10, [6], -1, 1),
        returns: random(11, [6], -1, 1),
      },
      trained: ["logps", "values"],
    },
  };

/** The loss over inputs of its family's terms; options not given take their defaults. */
function build(g: Graph, loss: Loss, given: Static<TObject>, feeds: Feeds): LossTerms {
  const terms: Record<string, Value> = inputs(g, feeds);
  const options = Json.Default(loss.options, { ...given });
  if (!Json.Check(loss.options, options)) throw new Error(`${loss.name} refuses its variant`);
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
    case "pair":
      return loss.build(g, pairTerms(terms), options);
    case "unpaired":
      return loss.build(g, unpairedTerms(terms), options);
    case "list":
      return loss.build(g, listTerms(terms), options);
    case "actor-critic":
      return loss.build(g, drawn(terms) as unknown as ActorCriticTerms, options);
    case "policy":
      return loss.build(g, drawn(terms) as unknown as PolicyTerms, options); // the feeds above are its terms
  }
}

const drawn = ({ entropies, ...terms }: Record<string, Value>) => ({
  ...terms,
  entropies: () => entropies!,
});

const WHOLE_NUMBERS = ["lists", "owners"];
const feedsOf = (terms: Record<string, Nd>, dtype: DType): Feeds =>
  Object.fromEntries(
    Object.entries(terms).map(([name, numbers]) => [
      name,
      feed(WHOLE_NUMBERS.includes(name) ? "int64" : dtype, numbers),
    ]),
  );

/** A graph whose values held constant are inputs, so that differences hold them, too. */
class HeldGraph extends Graph {
  readonly values: Value[] = [];
  readonly #numbers: Feeds;

  constructor(numbers: Feeds) {
    super();
    this.#numbers = numbers;
  }

  override stopGradient(x: Value): Value {
    const name = `held ${this.values.length}`;
    const held = this.#numbers[name] ? this.input(name, x.dtype, x.shape) : super.stopGradient(x);
    this.values.push(held);
    return held;
  }
}

/** What a loss holds constant, in numbers. */
async function heldConstants(loss: Loss, given: Static<TObject>, feeds: Feeds): Promise<Feeds> {
  const g = new HeldGraph({});
  build(g, loss, given, feeds);
  const values = Object.fromEntries(g.values.map((value, i) => [`held ${i}`, value]));
  if (g.values.length === 0) return {};
  const numbers = await evaluate(runtime, g, values, feeds);
  return Object.fromEntries(
    Object.entries(numbers).map(([name, each]) => [name, feed(each.dtype, each)]),
  );
}

const cases = losses.flatMap((loss) =>
  [{}, ...(variants[loss.name] ?? [])].map((given) => {
    const title = [loss.name, ...Object.entries(given).map((option) => option.join(" "))];
    return [title.join(", "), loss, given] as const;
  }),
);

describe.each(cases)("%s", (_, loss, given) => {
  const { terms, trained } = families[loss.family];

  test("is a finite scalar, with metrics that are finite scalars, in both precisions", async () => {
    for (const dtype of ["float32", "float64"] as const) {
      const feeds = feedsOf(terms, dtype);
      const g = new Graph();
      const { loss: value, metrics } = build(g, loss, given, feeds);
      const results = await evaluate(runtime, g, { ...metrics, loss: value }, feeds);
      for (const { shape, data } of Object.values(results)) {
        expect(shape).toEqual([]);
        expect(data[0]).toSatisfy(Number.isFinite);
      }
    }
  });

  test("has the gradient differences give, by all that depends on the model", async () => {
    const feeds = feedsOf(terms, "float64");
    const held = await heldConstants(loss, given, feeds);
    const g = new HeldGraph(held);
    const { loss: y } = build(g, loss, given, feeds);
    const question = { g, y, feeds: { ...feeds, ...held }, wanted: trained };
    expect(await gradientError(runtime, question)).toBeLessThan(1e-8);
  });

  test.each([
    [1, 1],
    [-1, -1],
    [1, -1],
  ])("stays finite, and so do gradients, for numbers far apart (%i, %i)", async (even, odd) => {
    const far = Object.fromEntries(
      trained.map((name, i) => {
        const [first, second] = i ? [-even, -odd] : [even, odd];
        const { shape, data } = terms[name]!;
        return [
          name,
          nd(
            shape,
            data.map((_, k) => (k % 2 ? second : first) * 1e4),
          ),
        ];
      }),
    );
    const feeds = feedsOf({ ...terms, ...far }, "float32");
    const g = new Graph();
    const { loss: value } = build(g, loss, given, feeds);
    const wanted = trained.map((name) => g.inputs.find((input) => input.name === name)!);
    const gradients = backward(g, value, wanted);
    const outputs = Object.fromEntries(gradients.map((each, i) => [`d ${trained[i]}`, each]));
    const results = await evaluate(runtime, g, { ...outputs, value }, feeds);
    for (const { data } of Object.values(results))
      for (const number of data) expect(number).toSatisfy(Number.isFinite);
  });

  test("depends on what it says it needs, and on nothing else that has to be computed", async () => {
    const valueWith = async (change: Record<string, Nd>) => {
      const feeds = feedsOf({ ...terms, ...change }, "float64");
      const g = new Graph();
      const { value } = await evaluate(
        runtime,
        g,
        { value: build(g, loss, given, feeds).loss },
        feeds,
      );
      return value.data[0];
    };
    const moved = (pattern: RegExp) =>
      Object.fromEntries(
        Object.entries(terms)
          .filter(([name]) => pattern.test(name))
          .map(([name, { shape, data }]) => [
            name,
            nd(
              shape,
              data.map((x, i) => x + Math.sin(i + name.length)),
            ),
          ]),
      );
    const start = await valueWith({});
    if ("needsReference" in loss)
      expect((await valueWith(moved(/references$/))) !== start).toBe(loss.needsReference);
    if ("needsMismatched" in loss)
      expect((await valueWith(moved(/^mismatched.logps/))) !== start).toBe(loss.needsMismatched);
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
