import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../../src/base/assert.ts";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import { supervisedStep } from "../../../src/train/batches.ts";
import {
  conversationStep,
  distillationStep,
  rewardLevel,
} from "../../../src/train/families/supervised.ts";
import { distillation } from "../../../src/train/losses/supervised/distillation.ts";
import { sft } from "../../../src/train/losses/supervised/sft.ts";
import { Trainer } from "../../../src/train/trainer.ts";
import { examples, policyConfig, startingWeights } from "../../support/tiny-training.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

describe("a conversation", () => {
  const tokens = [1, 2, 10, 11, 3, 12];
  const learned = [false, false, true, true, false, true];

  test("is learned where the assistant speaks, each token from the row before it", () => {
    const { packed, int64 } = conversationStep([{ tokens, learned }], 8);
    const read = [...int64["rows"]!].map((row) => Number(packed.ids[Number(row)]));
    expect(read).toEqual([2, 10, 3]);
    expect([...int64["labels"]!].map(Number)).toEqual([10, 11, 12]);
  });

  test("of one turn is a supervised example", () => {
    const one = { prompt: [1, 2], completion: [10, 11] };
    const flags = [false, false, true, true];
    expect(conversationStep([{ tokens: [1, 2, 10, 11], learned: flags }], 8)).toEqual(
      supervisedStep([one], 8),
    );
  });

  test("in one pass has the loss of its turns, each after what was said before", async () => {
    const turns = [
      { prompt: [1, 2], completion: [10, 11] },
      { prompt: [1, 2, 10, 11, 3], completion: [12] },
    ];
    const lossOf = async (batch: ReturnType<typeof supervisedStep>) => {
      const trainer = await Trainer.create(
        runtime,
        {
          config: policyConfig,
          loss: sft,
          optimizer: { schedule: (g) => g.scalar(0) },
          threads: 1,
        },
        startingWeights(policyConfig),
      );
      const { loss } = await trainer.run(batch);
      trainer.dispose();
      return loss!;
    };
    const whole = await lossOf(conversationStep([{ tokens, learned }], 8));
    expect(whole).toBeCloseTo(await lossOf(supervisedStep(turns, 8)), 6);
  });

  test("is refused when its first token is to be learned, or flags are missing", () => {
    for (const flags of [[true, false, true, true, false, true], [false]])
      expect(() => conversationStep([{ tokens, learned: flags }], 8)).toThrow(InvariantError);
  });
});

describe("another model's opinion", () => {
  const teacher = examples.map(({ completion }) =>
    completion.map((id, t) =>
      t % 2
        ? [{ id, logp: Math.log(0.5) }]
        : [
            { id, logp: Math.log(0.6) },
            { id: 19, logp: Math.log(0.4) },
          ],
    ),
  );
  const conversations = examples.map(({ prompt, completion }) => {
    const tokens = [...prompt, ...completion];
    return { tokens, learned: tokens.map((_, at) => at >= prompt.length) };
  });
  const batch = () =>
    distillationStep(
      conversations.map((each, i) => ({ ...each, teacher: teacher[i]! })),
      12,
    );

  test("comes as a table, filled up with what has no probability", () => {
    const { int64, float32 } = batch();
    expect([...int64["teacher_ids"]!].slice(0, 4).map(Number)).toEqual([7, 19, 8, 8]);
    const chances = [...float32["teacher_logps"]!].slice(0, 4).map(Math.exp);
    for (const [i, chance] of [0.6, 0.4, 0.5, 0].entries())
      expect(chances[i]).toBeCloseTo(chance, 6);
  });

  test("is taken over by the policy: its divergence shrinks", async () => {
    const trainer = await Trainer.create(
      runtime,
      {
        config: policyConfig,
        loss: distillation,
        lossOptions: { teacher_weight: 1 },
        optimizer: { schedule: (g) => g.scalar(0.02), weightDecay: 0 },
        threads: 1,
      },
      startingWeights(policyConfig),
    );
    const first = await trainer.run(batch());
    let last = first;
    for (let i = 0; i < 40; i++) last = await trainer.run(batch());
    trainer.dispose();
    expect(last["teacher_kl"]).toBeLessThan(first["teacher_kl"]! / 4);
    expect(last["loss"]).toBeLessThan(first["loss"]!);
  });

  test("is refused when it is missing for a token", () => {
    const wrong = (opinion: typeof teacher) => () =>
      distillationStep([{ ...conversations[1]!, teacher: opinion[1]! }], 12);
    expect(wrong([[], []])).toThrow(InvariantError);
    expect(wrong([[], [[], [], []]])).toThrow(InvariantError);
  });
});

test("a reward's level is how many thresholds it reaches, which must rise", () => {
  expect([-1, 0, 0.49, 0.5, 9].map((reward) => rewardLevel(reward, [0, 0.5]))).toEqual([
    0, 1, 1, 2, 2,
  ]);
  expect(rewardLevel(7, [])).toBe(0);
  expect(() => rewardLevel(0, [1, 0])).toThrow(InvariantError);
});
