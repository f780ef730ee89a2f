/** Training on compared answers, end to end: log-probabilities of answers, pairs, and what a policy learns from them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cosineSchedule } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { type PreferenceGroup, pairStep } from "../../src/train/families/answer-batches.ts";
import { dpo } from "../../src/train/losses/pair/dpo.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { softmax } from "../support/naive.ts";
import { policyConfig, preferences, startingWeights } from "../support/tiny-training.ts";
import { runPacked } from "../support/transformers.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const ROW = 12;
const optimizer = { schedule: cosineSchedule(0.01, 2, 40), weightDecay: 0 };

/** The groups with the starting policy as the reference, its log-probabilities taken from its logits. */
async function referenced(): Promise<PreferenceGroup[]> {
  const weights = startingWeights(policyConfig);
  const values = (name: string) => weights.get(name)!;
  const sequences: number[][] = [];
  preferences((prompt, completion) => sequences.push([...prompt, ...completion]));
  const logits = await runPacked(
    runtime,
    { config: policyConfig, head: "logits", values },
    sequences,
    ROW,
  );
  let next = 0;
  return preferences((prompt, completion) => {
    const rows = logits[next++]!;
    return completion.reduce(
      (sum, token, t) => sum + Math.log(softmax(rows[prompt.length + t - 1]!)[token]!),
      0,
    );
  });
}

describe("DPO", () => {
  test("starts at ln 2 where the policy is the reference, and widens the margin of its pairs", async () => {
    const data = pairStep(await referenced(), ROW);
    const trainer = await Trainer.create(
      runtime,
      { config: policyConfig, loss: dpo, optimizer, threads: 1 },
      startingWeights(policyConfig),
    );
    const first = await trainer.run(data);
    for (let i = 1; i < 30; i++) await trainer.run(data);
    const last = await trainer.run(data);
    trainer.dispose();
    expect(first["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(first["margin"]).toBeCloseTo(0, 6);
    expect(last["accuracy"]).toBe(1);
    expect(last["margin"]).toBeGreaterThan(0.5); // β times 5 nats
    expect(last["loss"]).toBeLessThan(Math.log1p(Math.exp(-0.5)));
  });
});

describe("pairStep", () => {
  const group = {
    prompt: [1, 2],
    answers: [
      { completion: [3], reference: -1.5 },
      { completion: [4, 5], reference: -2.5 },
    ],
  };

  test("scores each answer once, and says which are compared", () => {
    const other = { prompt: [6], answers: group.answers, pairs: [{ chosen: 0, rejected: 1 }] };
    const pairs = [
      { chosen: 1, rejected: 0 },
      { chosen: 0, rejected: 0 },
    ];
    const { packed, int64, float32 } = pairStep([{ ...group, pairs }, other], ROW);
    expect(packed.starts).toHaveLength(4);
    expect([...int64["owners"]!].map(Number)).toEqual([0, 1, 1, 2, 3, 3]);
    expect([...int64["labels"]!].map(Number)).toEqual([3, 4, 5, 3, 4, 5]);
    expect([...int64["chosen"]!].map(Number)).toEqual([1, 0, 2]);
    expect([...int64["rejected"]!].map(Number)).toEqual([0, 0, 3]);
    expect([...float32["references"]!]).toEqual([-1.5, -2.5, -1.5, -2.5]);
  });

  test("refuses a pair of an answer that is not there, an empty answer, a reference of NaN, no pairs", () => {
    const step = (change: Partial<PreferenceGroup>) => () =>
      pairStep([{ ...group, pairs: [{ chosen: 0, rejected: 1 }], ...change }], ROW);
    expect(step({ pairs: [{ chosen: 0, rejected: 2 }] })).toThrow(/names answer 2 of 2/);
    expect(step({ pairs: [] })).toThrow(/no pair/);
    const [first] = group.answers;
    expect(step({ answers: [first!, { completion: [], reference: -1 }] })).toThrow(/empty/);
    expect(step({ answers: [first!, { completion: [1], reference: Number.NaN }] })).toThrow(/NaN/);
  });
});
