/** Token-guided strategies on real engines, whose keys and values live as long as the answer. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import { RewardEngine } from "../../src/engine/reward-engine.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { createPolicy } from "../../src/registry/policy.ts";
import type { Policy } from "../../src/registry/types.ts";
import type { Reward } from "../../src/rewards/define.ts";
import { createRewardModel } from "../../src/rewards/reward-model.ts";
import { args } from "../../src/strategies/args.ts";
import { dera } from "../../src/strategies/dera.ts";
import { sample } from "../../src/strategies/sample.ts";
import { tinyLlama } from "../support/configs.ts";
import { CountingTurnstile } from "../support/counting-turnstile.ts";
import { template, tokenizer } from "../support/tabular-policy.ts";
import { loadModel, tinySource } from "../support/tiny-model.ts";
import { best, finish } from "./support.ts";

const config = tinyLlama({
  vocab_size: tokenizer.vocabSize,
  hidden_size: 32,
  intermediate_size: 48,
  max_position_embeddings: 256,
});
let runtime: Runtime;
const turnstile = new CountingTurnstile();
let policy: Policy;
let aligned: Policy;
let reward: Reward;
const engines: { dispose(): Promise<void> }[] = [];

beforeAll(async () => {
  runtime = openRuntime();
  [policy, aligned] = [await openPolicy("policy", 1), await openPolicy("aligned", 3)];
  const scorer = new RewardEngine(
    await loadModel(runtime, tinySource(2, config), "scores", { turnstile }),
  );
  engines.push(scorer);
  reward = createRewardModel({ id: "judge", scorer, tokenizer, template });
});
afterAll(async () => {
  for (const engine of engines) await engine.dispose();
  runtime.dispose();
});

async function openPolicy(id: string, seed: number): Promise<Policy> {
  const model = await loadModel(runtime, tinySource(seed, config), "logits", { turnstile });
  const generator = new Engine(model, { sequencesMax: 8, queueSequencesMax: 64 });
  engines.push(generator);
  return createPolicy({ id, created: 0, generator, tokenizer, template });
}

/** Letters alone, so that every text has one spelling in tokens and is encoded as it was drawn. */
const isLetter = (id: number) => /^[a-z ]$/.test(Buffer.from(tokenizer.bytesOf(id)).toString());
const logitBias = new Map(
  Array.from({ length: tokenizer.vocabSize }, (_, id) => id)
    .filter((id) => !isLetter(id))
    .map((id) => [id, -100] as const),
);
const letters = { logitBias, maxTokens: 24 };

describe("on a real engine", () => {
  test("args with w = 0, greedy, is greedy sampling", async () => {
    for (const maxTokens of [7, 20]) {
      const sampling = { temperature: 0, maxTokens };
      const plain = best(await finish(sample, { policy, sampling }));
      const guided = best(await finish(args, { policy, reward, sampling, options: { weight: 0 } }));
      expect(guided.tokens.map(({ id }) => id)).toEqual(plain.tokens.map(({ id }) => id));
    }
  });

  test("a reward that follows the tokens chooses what whole texts choose", async () => {
    const texts: Reward = {
      ...reward,
      open: (prompt, signal) => {
        const session = reward.open(prompt, signal);
        return {
          score: (text, how) => session.score(text, how),
          close: () => session.close(),
        };
      },
    };
    for (const seed of [1, 2, 3]) {
      const sampling = { ...letters, seed };
      const options = { weight: 2, k: 5, at: "end-of-turn" };
      const grown = await finish(args, { policy, reward, sampling, options });
      const encoded = await finish(args, { policy, reward: texts, sampling, options });
      expect(best(grown).text).toHaveLength(24);
      expect(best(grown).text).toBe(best(encoded).text);
      expect(grown.result.warnings).toEqual([]);
      expect(encoded.result.warnings).toHaveLength(1);
      expect(grown.budget.rewardCalls).toBe(encoded.budget.rewardCalls);
    }
  });

  test("requests beside each other answer as they do alone, in the runs of one", async () => {
    const seeds = [1, 2, 3, 4];
    const answer = async (seed: number) =>
      best(await finish(args, { policy, reward, sampling: { ...letters, seed } })).text;
    const plain = async () =>
      best(await finish(sample, { policy, sampling: { ...letters, seed: 9 } })).text;
    const runsOf = async <T>(task: () => Promise<T>): Promise<[T, number]> => {
      const before = turnstile.runs;
      return [await task(), turnstile.runs - before];
    };
    const alone: string[] = [];
    const runs: number[] = [];
    for (const seed of seeds) {
      const [text, count] = await runsOf(() => answer(seed));
      alone.push(text);
      runs.push(count);
    }
    expect(runs).toEqual([50, 50, 50, 50]); // 2 prompts, 23 tokens of the policy, 24 of the reward, the whole answer
    expect(new Set(alone).size).toBe(seeds.length);
    const [together, shared] = await runsOf(() => Promise.all(seeds.map(answer)));
    expect(together).toEqual(alone);
    // prompts and whole answers are each one's own, and the first tokens until all are in step
    expect(shared).toBeLessThanOrEqual(4 * 3 + 23 + 24 + 12);
    const drawn = await plain();
    const mixed = await Promise.all([...seeds.map(answer), plain()]);
    expect(mixed).toEqual([...alone, drawn]);
  });

  test("dera with λ = 1 is the aligned policy", async () => {
    const models = { policy: () => aligned, reward: () => reward };
    const sampling = { ...letters, temperature: 0 };
    const theirs = best(await finish(sample, { policy: aligned, sampling }));
    const mixed = await finish(dera, { policy, models, sampling, options: { lambda: 1 } });
    expect(best(mixed).text).toBe(theirs.text);
    const other = await finish(dera, { policy, models, sampling, options: { lambda: 0 } });
    expect(best(other).text).toBe(best(await finish(sample, { policy, sampling })).text);
  });

  test("who leaves in the middle leaves nothing behind", async () => {
    const controller = new AbortController();
    const run = { policy, reward, sampling: letters, signal: controller.signal, choices: 3 };
    setTimeout(() => controller.abort(new Error("client left")), 20);
    const sampling = { ...letters, maxTokens: 200 };
    await expect(finish(args, { ...run, sampling })).rejects.toThrow("client left");
    const next = best(await finish(args, { policy, reward, sampling: letters }));
    expect(next.text).toHaveLength(24);
  });
});
