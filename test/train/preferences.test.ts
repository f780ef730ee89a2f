/** Training on compared answers, end to end: log-probabilities of answers, pairs, and what a policy learns from them. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cosineSchedule } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { StepData } from "../../src/train/batches.ts";
import {
  type AnswerList,
  desensitised,
  listStep,
  mismatched,
  type PreferenceGroup,
  pairStep,
  promptSimilarities,
  tokenRarity,
  unpairedStep,
} from "../../src/train/families/answers.ts";
import type { Loss } from "../../src/train/losses/define.ts";
import { dpoPlackettLuce } from "../../src/train/losses/list/dpo-plackett-luce.ts";
import { dpo } from "../../src/train/losses/pair/dpo.ts";
import { wpo } from "../../src/train/losses/pair/wpo.ts";
import { bco } from "../../src/train/losses/unpaired/bco.ts";
import { kto } from "../../src/train/losses/unpaired/kto.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { softmax, sum } from "../support/naive.ts";
import { policyConfig, preferences, startingWeights } from "../support/tiny-training.ts";
import { runPacked } from "../support/transformers.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const ROW = 12;
const optimizer = { schedule: cosineSchedule(0.01, 2, 40), weightDecay: 0 };

type Texts = readonly {
  readonly prompt: readonly number[];
  readonly completion: readonly number[];
}[];

/** log π of each answer under the starting policy, from its logits: the reference. */
async function references(texts: Texts): Promise<number[]> {
  const weights = startingWeights(policyConfig);
  const values = (name: string) => weights.get(name)!;
  const logits = await runPacked(
    runtime,
    { config: policyConfig, head: "logits", values },
    texts.map(({ prompt, completion }) => [...prompt, ...completion]),
    ROW,
  );
  return texts.map(({ prompt, completion }, i) =>
    sum(
      completion.map((token, t) => {
        const row = logits[i]![prompt.length + t - 1]!;
        return Math.log(softmax(row)[token]!);
      }),
    ),
  );
}

/** The groups of `preferences`, with the starting policy as the reference. */
async function referenced(): Promise<PreferenceGroup[]> {
  const texts: { prompt: readonly number[]; completion: readonly number[] }[] = [];
  preferences((prompt, completion) => texts.push({ prompt, completion }));
  const found = await references(texts);
  return preferences(() => found.shift()!);
}

/** Metrics of the first step and of the last of thirty on one batch. */
async function learned(loss: Loss, data: StepData) {
  const trainer = await Trainer.create(
    runtime,
    { config: policyConfig, loss, optimizer, threads: 1 },
    startingWeights(policyConfig),
  );
  const first = await trainer.run(data);
  for (let i = 1; i < 30; i++) await trainer.run(data);
  const last = await trainer.run(data);
  trainer.dispose();
  return { first, last };
}

describe("a policy that is its own reference", () => {
  test("starts DPO at ln 2, and widens the margin of its pairs", async () => {
    const { first, last } = await learned(dpo, pairStep(await referenced(), ROW));
    expect(first["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(first["margin"]).toBeCloseTo(0, 6);
    expect(last["accuracy"]).toBe(1);
    expect(last["margin"]).toBeGreaterThan(0.5); // β times 5 nats
    expect(last["loss"]).toBeLessThan(Math.log1p(Math.exp(-0.5)));
  });

  test("starts KTO at ½ where mismatched answers say it is the reference, and BCO at ln 2", async () => {
    const texts = (await referenced()).flatMap(({ prompt, answers }) =>
      answers.map((answer, i) => ({ ...answer, prompt, isDesirable: i !== 1 })),
    );
    const others = mismatched(texts);
    const theirs = await references(others);
    const data = (below: number) => {
      const crossed = others.map((each, i) => ({ ...each, reference: theirs[i]! - below }));
      return unpairedStep(texts, crossed, ROW);
    };
    const { first, last } = await learned(kto, data(0));
    expect(first["loss"]).toBeCloseTo(0.5, 6);
    expect(first["kl"]).toBeCloseTo(0, 5);
    expect(last["loss"]).toBeLessThan(0.45);
    expect(last["margin"]).toBeGreaterThan(0.3);
    const further = await learned(kto, data(2)); // a reference that finds them e² less likely
    const [miss, hit] = [1 / (1 + Math.exp(-0.2)), 1 / (1 + Math.exp(0.2))];
    expect(further.first["kl"]).toBeCloseTo(2, 5);
    expect(further.first["loss"]).toBeCloseTo((3 * miss + 2 * hit) / 5, 6);
    const plain = await learned(bco, unpairedStep(texts, null, ROW));
    expect(plain.first["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(plain.last["margin"]).toBeGreaterThan(0.3);
  });

  test("starts Plackett-Luce at the mean of ln n!, and learns the order", async () => {
    const lists: AnswerList[] = (await referenced()).map(({ prompt, answers }) => ({
      prompt,
      answers: answers.map((answer, i) => ({ ...answer, reward: [1, 3, 2][i]! })),
    }));
    const { first, last } = await learned(dpoPlackettLuce, listStep(lists, ROW));
    expect(first["loss"]).toBeCloseTo((Math.log(6) + Math.log(2)) / 2, 6);
    expect(last["accuracy"]).toBe(1);
    expect(last["margin"]).toBeGreaterThan(0.5);
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

describe("unpairedStep", () => {
  const rated = [
    { prompt: [1], completion: [2, 3], reference: -1, isDesirable: true },
    { prompt: [4, 5], completion: [6], reference: -2, isDesirable: false },
    { prompt: [7], completion: [8], reference: -3, isDesirable: true },
  ];

  test("says which answers are good, and which are mismatched", () => {
    const others = mismatched(rated).map((each) => ({ ...each, reference: -9 }));
    const { int64, float32, packed } = unpairedStep(rated, others, ROW);
    expect(others.map(({ prompt, completion }) => [prompt, completion])).toEqual([
      [[1], [8]],
      [
        [4, 5],
        [2, 3],
      ],
      [[7], [6]],
    ]);
    expect(packed.starts).toHaveLength(6);
    expect([...int64["rated"]!].map(Number)).toEqual([0, 1, 2]);
    expect([...int64["mismatched"]!].map(Number)).toEqual([3, 4, 5]);
    expect([...float32["desirable"]!]).toEqual([1, 0, 1]);
    expect([...float32["references"]!]).toEqual([-1, -2, -3, -9, -9, -9]);
  });

  test("feeds no mismatched answers to a loss that does not ask for them; refuses to have none to feed", () => {
    expect(Object.keys(unpairedStep(rated, null, ROW).int64)).not.toContain("mismatched");
    expect(() => unpairedStep(rated, [], ROW)).toThrow(/no mismatched/);
    expect(() => unpairedStep([], null, ROW)).toThrow(/no answer/);
  });
});

describe("listStep", () => {
  const scored = (...rewards: number[]): AnswerList => ({
    prompt: [1],
    answers: rewards.map((reward, i) => ({ completion: [2 + i], reference: -i, reward })),
  });

  test("ranks each list by reward, of equal ones the earlier first", () => {
    const { int64, float32 } = listStep([scored(0.5, 2, 0.5), scored(-1, 3)], ROW);
    expect([...int64["lists"]!].map(Number)).toEqual([0, 0, 0, 1, 1]);
    expect([...float32["ranks"]!]).toEqual([1, 0, 2, 1, 0]);
    expect([...float32["rewards"]!]).toEqual([0.5, 2, 0.5, -1, 3]);
  });

  test("refuses a list of one, a reward of NaN, and nothing at all", () => {
    expect(() => listStep([scored(1)], ROW)).toThrow(/1 answers/);
    expect(() => listStep([scored(1, Number.NaN)], ROW)).toThrow(/NaN/);
    expect(() => listStep([], ROW)).toThrow(/no list/);
  });
});

describe("what a loss is told beside log-probabilities", () => {
  const one = { prompt: [1, 2], completion: [3, 5, 0] };
  const other = { prompt: [1, 2], completion: [4, 0] };
  const pair = { prompt: one.prompt, pairs: [{ chosen: 0, rejected: 1 }] };

  /** log π of each token of an answer, and log Σ_v π(v)² in its place, from the logits. */
  async function laws({ prompt, completion }: typeof one) {
    const weights = startingWeights(policyConfig);
    const values = (name: string) => weights.get(name)!;
    const model = { config: policyConfig, head: "logits", values } as const;
    const [rows] = await runPacked(runtime, model, [[...prompt, ...completion]], ROW);
    return completion.map((token, t) => {
      const law = softmax(rows![prompt.length + t - 1]!);
      return { logp: Math.log(law[token]!), collision: Math.log(sum(law.map((p) => p * p))) };
    });
  }

  test("the collisions of each law weigh the pairs of wpo", async () => {
    const answers = [one, other].map(({ completion }) => ({ completion, reference: 0 }));
    const { first } = await learned(wpo, pairStep([{ ...pair, answers }], ROW));
    const means = (await Promise.all([one, other].map(laws))).map(
      (each) => sum(each.map(({ logp, collision }) => logp - collision)) / each.length,
    );
    expect(first["weight"]).toBeCloseTo(Math.min(1, Math.exp(sum(means))), 5);
  });

  test("tokens beyond the shorter answer count as ld_alpha says", async () => {
    const weights = desensitised([one.completion, other.completion], 0.25);
    expect(weights).toEqual([
      [1, 1, 0.25],
      [1, 1],
    ]);
    const answers = [one, other].map(({ completion }, i) => ({
      completion,
      reference: 0,
      weights: weights[i]!,
    }));
    const { first } = await learned(dpo, pairStep([{ ...pair, answers }], ROW));
    const [long, short] = await Promise.all([one, other].map(laws));
    const chosen = sum(long!.map(({ logp }, t) => weights[0][t]! * logp));
    expect(first["chosen_logp"]).toBeCloseTo(chosen, 5);
    expect(first["rejected_logp"]).toBeCloseTo(sum(short!.map(({ logp }) => logp)), 5);
  });

  test("prompts are alike by the tokens that not all of them have", () => {
    const prompts = [
      [9, 1, 2, 8],
      [9, 1, 3, 8],
      [9, 4, 8],
      [9, 8],
    ];
    const found = promptSimilarities(prompts, tokenRarity(prompts));
    const [ln2, ln4] = [Math.log(2), Math.log(4)];
    const shared = ln2 ** 2 / (ln2 ** 2 + ln4 ** 2); // token 1, in two of four
    expect([...found]).toEqual(
      [1, shared, 0, 0, shared, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1].map((x) => expect.closeTo(x, 6)),
    );
  });

  test("the mean of a metric over the steps so far goes on where a saved state left it", async () => {
    const texts = [one, other].map((each, i) => ({ ...each, reference: -5, isDesirable: i === 0 }));
    const data = unpairedStep(texts, null, ROW);
    const options = {
      config: policyConfig,
      loss: bco,
      lossOptions: { shift: "running" },
      optimizer,
      threads: 1,
    };
    const trainer = await Trainer.create(runtime, options, startingWeights(policyConfig));
    const middles: number[] = [];
    for (let step = 1; step <= 4; step++) {
      const found = await trainer.run(data);
      middles.push(found["middle"]!);
      expect(found["shift"]).toBeCloseTo(sum(middles) / step, 5);
    }
    expect(trainer.running).toEqual({ mean: expect.closeTo(sum(middles) / 4, 6), steps: 4 });
    const resumed = await Trainer.create(runtime, options, trainer.state(), 4);
    resumed.running = trainer.running;
    expect(await resumed.run(data)).toEqual(await trainer.run(data));
    trainer.dispose();
    resumed.dispose();
  });
});
