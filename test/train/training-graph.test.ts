/** The graph of loss and update against the same numbers from the bare logits. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode } from "../../src/onnx/encode.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { StepData } from "../../src/train/batches.ts";
import { bradleyTerry } from "../../src/train/losses/reward/bradley-terry.ts";
import { sft } from "../../src/train/losses/supervised/sft.ts";
import {
  gradientGraph,
  lossGraph,
  momentNames,
  nextName,
  sumName,
  updateGraph,
} from "../../src/train/training-graph.ts";
import { softmax, sum } from "../support/naive.ts";
import {
  examples,
  policyConfig,
  rewardBatch,
  rewardConfig,
  startingWeights,
  supervisedBatch,
} from "../support/tiny-training.ts";
import { runPacked } from "../support/transformers.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** The metrics of a batch, without an update. */
async function evaluated(
  graph: ReturnType<typeof lossGraph>,
  { packed, int64, float32 }: StepData,
  values: ReadonlyMap<string, Float32Array>,
): Promise<Record<string, number>> {
  const session = await runtime.session(encode(graph.graph), { threads: 1 });
  const shape = [packed.rows, packed.tokensPerRow];
  const tensors = {
    input_ids: runtime.tensor("int64", shape, packed.ids),
    position_ids: runtime.tensor("int64", shape, packed.positions),
    segment_ids: runtime.tensor("int64", shape, packed.segments),
    ...Object.fromEntries([
      ...Object.entries(int64).map(
        ([name, data]) => [name, runtime.tensor("int64", [data.length], data)] as const,
      ),
      ...Object.entries(float32).map(
        ([name, data]) => [name, runtime.tensor("float32", [data.length], data)] as const,
      ),
      ...graph.weights.map(
        ({ name, shape: sizes }) =>
          [name, runtime.tensor("float32", sizes, values.get(name)!.slice())] as const,
      ),
    ]),
  };
  const results = await session.evaluate(tensors);
  session.dispose();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, Number(data[0])]),
  );
}

describe("without an optimiser", () => {
  test("sft gives the mean negative log-likelihood of the logits", async () => {
    const weights = startingWeights(policyConfig);
    const model = {
      config: policyConfig,
      head: "logits",
      values: (name: string) => weights.get(name)!,
    } as const;
    const whole = examples.map(({ prompt, completion }) => [...prompt, ...completion]);
    const logits = await runPacked(runtime, model, whole, 12);
    const losses = examples.flatMap(({ prompt, completion }, i) =>
      completion.map((token, t) => -Math.log(softmax(logits[i]![prompt.length + t - 1]!)[token]!)),
    );
    const graph = lossGraph(policyConfig, sft, {});
    expect(graph.metrics).toEqual(["loss"]);
    const { loss } = await evaluated(graph, supervisedBatch(), weights);
    expect(loss).toBeCloseTo(sum(losses) / losses.length, 5);
  });

  test("bradley-terry reads the score of each answer at its last token", async () => {
    const weights = startingWeights(rewardConfig).set(
      "score.weight",
      Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)),
    );
    const model = {
      config: rewardConfig,
      head: "scores",
      values: (name: string) => weights.get(name)!,
    } as const;
    const answers = [
      [1, 2, 3, 0],
      [1, 2, 4, 0],
      [5, 9, 0],
      [5, 3, 4],
    ]; // chosen, rejected, chosen, rejected
    const scores = (await runPacked(runtime, model, answers, 12)).map((each) => each.at(-1)![0]!);
    const [a, b, c, d] = scores as [number, number, number, number]; // four answers
    const pair = (chosen: number, rejected: number) => Math.log1p(Math.exp(rejected - chosen));
    const graph = lossGraph(rewardConfig, bradleyTerry, { centering: 0 });
    const metrics = await evaluated(graph, rewardBatch(), weights);
    expect(Math.abs(a - b)).toBeGreaterThan(0.1);
    expect(metrics["loss"]).toBeCloseTo((pair(a, b) + pair(c, d)) / 2, 5);
    expect(metrics["margin"]).toBeCloseTo((a - b + c - d) / 2, 5);
  });
});

describe("options of the loss", () => {
  test("take their defaults where nothing is given", async () => {
    const weights = startingWeights(rewardConfig).set(
      "score.weight",
      new Float32Array(16).fill(0.5),
    );
    const lossWith = async (options: Record<string, number>) => {
      const graph = lossGraph(rewardConfig, bradleyTerry, options);
      return (await evaluated(graph, rewardBatch(), weights))["loss"];
    };
    const byDefault = await lossWith({});
    expect(byDefault).toBe(await lossWith({ centering: 0.01 }));
    expect(byDefault).not.toBe(await lossWith({ centering: 0.02 }));
  });
  test("are refused when the loss does not take them", () => {
    expect(() => lossGraph(rewardConfig, bradleyTerry, { centering: -1 })).toThrow(
      /bradley-terry does not take {"centering":-1}/,
    );
  });
});

test("a pass adds to the sums of gradients, and the optimiser replaces weights and moments, under their names", () => {
  const { graph, weights, metrics } = gradientGraph(policyConfig, sft, {});
  const names = (each: readonly { name: string }[]) => each.map(({ name }) => name).sort();
  const sums = weights.map(({ name }) => sumName(name));
  const fed = names(graph.inputs);
  expect(fed).toEqual(expect.arrayContaining([...sums, ...names(weights), "share"]));
  expect(names(graph.outputs)).toEqual([...sums.map(nextName), ...metrics].sort());
  expect(metrics).toEqual(["loss"]);
  const update = updateGraph(weights, { schedule: (g) => g.scalar(0.1) });
  const state = weights.flatMap(({ name }) => [name, ...Object.values(momentNames(name))]);
  expect(names(update.inputs)).toEqual([...state, ...sums, "gradient_norm", "step"].sort());
  expect(names(update.outputs)).toEqual([...state.map(nextName), "learning_rate"].sort());
});
