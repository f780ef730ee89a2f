/** Reward models learn by heart what a batch of each shape says, from guessing on. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { StepData } from "../../src/train/batches.ts";
import {
  pointStep,
  preferenceStep,
  prefixStep,
  rankedStep,
} from "../../src/train/families/rewards.ts";
import type { Loss } from "../../src/train/losses/define.ts";
import { bradleyTerry } from "../../src/train/losses/reward/bradley-terry.ts";
import { preferenceModel } from "../../src/train/losses/reward/pair-classification.ts";
import { plackettLuce } from "../../src/train/losses/reward/plackett-luce.ts";
import { rewardClassification } from "../../src/train/losses/reward/points.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { rewardConfig, startingWeights } from "../support/tiny-training.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const lists = [
  {
    prompt: [1],
    completions: [
      [4, 0],
      [5, 0],
      [6, 0],
    ],
  },
  { prompt: [2, 3], completions: [[7], [8]] },
];
const steps = [
  {
    prompt: [1],
    completion: [4, 5, 6],
    marks: [
      { at: 0, target: 1 },
      { at: 2, target: 0 },
    ],
  },
  { prompt: [2], completion: [5, 7], marks: [{ at: 1, target: 1 }] },
];
const prefixes = [{ prompt: [1], chosen: [4, 5, 6], rejected: [7, 8] }];
/** Paper beats rock, rock beats scissors, scissors beat paper: no reward says so, a comparison can. */
const circle = [
  [11, 12],
  [12, 13],
  [13, 11],
].map(([better, worse]) => ({
  prompt: [1],
  chosen: [better!],
  rejected: [worse!],
  separator: [19],
  weight: 1,
}));

const guess = Math.LN2;
const cases: [string, Loss, StepData, number][] = [
  ["ranked lists", plackettLuce, rankedStep(lists, 12), (Math.log(6) + Math.log(2)) / 2],
  ["steps that are right or wrong", rewardClassification, pointStep(steps, 12), guess],
  ["prefixes", bradleyTerry, prefixStep(prefixes, 12), guess],
  ["intransitive preferences", preferenceModel, preferenceStep(circle, 12), guess],
];

test.each(cases)("%s", async (_, loss, batch, start) => {
  const trainer = await Trainer.create(
    runtime,
    {
      config: rewardConfig,
      loss,
      optimizer: { schedule: (g) => g.scalar(0.02), weightDecay: 0 },
      threads: 1,
    },
    startingWeights(rewardConfig),
  );
  const first = await trainer.run(batch);
  let last = first;
  for (let i = 0; i < 60; i++) last = await trainer.run(batch);
  trainer.dispose();
  expect(first["loss"]).toBeCloseTo(start, 5); // the score head starts at 0
  expect(last["loss"]).toBeLessThan(start / 3);
  expect(last["accuracy"]).toBe(1);
});
