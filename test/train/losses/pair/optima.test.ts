/** Where losses come to rest: a policy over three answers, followed down the gradient of a loss's expectation. */
import type { Static, TObject } from "typebox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../../../src/onnx/backward.ts";
import { Graph } from "../../../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../../../src/onnx/runtime/index.ts";
import type { PairLoss } from "../../../../src/train/losses/define.ts";
import { dilBce } from "../../../../src/train/losses/pair/dil-bce.ts";
import { dilLsif } from "../../../../src/train/losses/pair/dil-lsif.ts";
import { dilUkl } from "../../../../src/train/losses/pair/dil-ukl.ts";
import { dpo } from "../../../../src/train/losses/pair/dpo.ts";
import { gsil } from "../../../../src/train/losses/pair/gsil.ts";
import { spin } from "../../../../src/train/losses/pair/spin.ts";
import { complete } from "../../../support/answer-terms.ts";
import { openGraph } from "../../../support/graphs.ts";
import { softmax } from "../../../support/naive.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

type Law = readonly [number, number, number];

interface Setting<O extends TObject> {
  readonly loss: PairLoss<O>;
  readonly options?: Partial<Static<O>>;
  readonly reference: Law;
  /** Which answers are compared, each as often as it is in here. */
  readonly pairs: readonly (readonly [chosen: number, rejected: number])[];
  readonly rate?: number;
  readonly steps?: number;
}

/** The policy after descent from the reference; log π is a softmax of three numbers. */
async function optimum<O extends TObject>(setting: Setting<O>): Promise<number[]> {
  const { loss, options = {}, reference, pairs, rate = 3, steps = 400 } = setting;
  const g = new Graph();
  const logits = g.input("logits", "float64", [3]);
  const logps = g.logSoftmax(logits);
  const constant = (values: number[]) =>
    g.constant("float64", [values.length], Float64Array.from(values));
  const terms = (which: number[]) => ({
    logps: g.gather(logps, g.ints(which)),
    references: constant(which.map((i) => Math.log(reference[i]!))),
    tokens: constant(which.map(() => 1)),
  });
  const [chosen, rejected] = [terms(pairs.map(([i]) => i)), terms(pairs.map(([, j]) => j))];
  const { loss: mean } = loss.build(g, { chosen, rejected }, complete(loss, options));
  g.output("slope", backward(g, mean, [logits])[0]!);
  const session = await openGraph(runtime, g);
  const given = runtime.tensor("float64", [3], Float64Array.from(reference, Math.log));
  const slope = runtime.tensor("float64", [3]);
  const binding = session.bind({ inputs: { logits: given }, outputs: { slope } });
  const at = given.data as Float64Array; // as it was made
  for (let step = 0; step < steps; step++) {
    session.runSync(binding);
    for (const i of [0, 1, 2]) at[i]! -= rate * Number(slope.data[i]);
  }
  for (const each of [binding, session, given, slope]) each.dispose();
  return softmax([...at]);
}

const close = (law: readonly number[], digits = 6) => law.map((p) => expect.closeTo(p, digits));
/** All pairs of one of ten answers and one of ten others, drawn by laws in tenths. */
function independent(chosen: Law, rejected: Law): (readonly [number, number])[] {
  const ten = (law: Law) => law.flatMap((p, i) => Array<number>(Math.round(10 * p)).fill(i));
  return ten(chosen).flatMap((i) => ten(rejected).map((j) => [i, j] as const));
}

test("dpo on Bradley-Terry pairs finds the policy that its rewards tilt the reference to", async () => {
  const odds = [1, 2, 4]; // of rewards 0, ln 2 and ln 4
  const fifteenths = (i: number, j: number) => (15 * odds[i]!) / (odds[i]! + odds[j]!);
  const pairs = [0, 1, 2].flatMap((i) =>
    [0, 1, 2]
      .filter((j) => j !== i)
      .flatMap((j) => Array.from({ length: fifteenths(i, j) }, () => [i, j] as const)),
  );
  const policy = await optimum({
    loss: dpo,
    options: { beta: 1 },
    reference: [0.5, 0.3, 0.2],
    pairs,
  });
  expect(policy).toEqual(close([0.5 / 1.9, 0.6 / 1.9, 0.8 / 1.9]));
});

describe("spin from (0.2, 0.3, 0.5), with demonstrations of (0.7, 0.2, 0.1)", () => {
  const [reference, demonstrated] = [[0.2, 0.3, 0.5] as const, [0.7, 0.2, 0.1] as const];
  const pairs = independent(demonstrated, reference);
  test("finds the demonstrations where λ is 1", async () => {
    const policy = await optimum({ loss: spin, options: { beta: 1 }, reference, pairs });
    expect(policy).toEqual(close(demonstrated));
  });
  test("overshoots them where λ is ½", async () => {
    const setting = { loss: spin, options: { beta: 0.5 }, reference, pairs, steps: 3000 };
    expect(await optimum(setting)).toEqual(close([0.9411011524, 0.0512163892, 0.0076824584]));
  });
  test("stays where it is once its answers are distributed as they are", async () => {
    const setting = { loss: spin, reference: demonstrated, steps: 50 };
    const policy = await optimum({ ...setting, pairs: independent(demonstrated, demonstrated) });
    expect(policy).toEqual(close(demonstrated, 12));
  });
});

describe("direct imitation of (0.2, 0.3, 0.5) from (0.5, 0.3, 0.2)", () => {
  const [reference, chosen] = [[0.5, 0.3, 0.2] as const, [0.2, 0.3, 0.5] as const];
  test.each([dilLsif, dilUkl, dilBce])(
    "$name finds it with the reference's samples for negatives",
    async (loss) => {
      const policy = await optimum({ loss, reference, pairs: independent(chosen, reference) });
      expect(policy).toEqual(close(chosen));
    },
  );
  test.each([
    [dilUkl, [0.1342535983, 0.2326089916, 0.6331374101]],
    [dilBce, [0.1521255867, 0.2578358872, 0.5900385261]],
  ] as const)("$0.name overshoots it with rejected answers", async (loss, expected) => {
    const pairs = independent(chosen, [0.6, 0.3, 0.1]);
    expect(await optimum({ loss, reference, pairs })).toEqual(close(expected));
  });
  test("dil-lsif with rejected answers gives up one that a fifth of the chosen ones are", async () => {
    const pairs = independent(chosen, [0.6, 0.3, 0.1]);
    const policy = await optimum({ loss: dilLsif, reference, pairs, steps: 2000 });
    expect(policy).toEqual(close([0, 6 / 35, 29 / 35], 2));
  });
  test.each(["bernoulli", "brier", "kliep", "lsif"] as const)(
    "gsil by %s finds it, where its logit is the log-ratio",
    async (estimator) => {
      const options = { estimator, scale: 1, shift: 0 };
      const setting = { loss: gsil, options, reference, steps: 1000 };
      const policy = await optimum({ ...setting, pairs: independent(chosen, reference) });
      expect(policy).toEqual(close(chosen));
    },
  );
});
