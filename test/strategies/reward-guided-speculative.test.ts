import { describe, expect, test } from "vitest";
import type { ProcessReward } from "../../src/rewards/define.ts";
import { rewardGuidedSpeculative } from "../../src/strategies/reward-guided-speculative.ts";
import { cannedProcessReward } from "../support/canned-reward.ts";
import { listCompletions } from "../support/tabular-generator.ts";
import {
  chatTokenizer,
  end,
  otherLaw,
  tabularPolicy,
  tokenizer,
} from "../support/tabular-policy.ts";
import { chiSquare, draws, limit, observe, type TextLaw, textLaw, worth } from "./laws.ts";
import { finish, tableModels } from "./support.ts";

const draftLaw: TextLaw = new Map(
  listCompletions(otherLaw, end, 2).map(({ tokens, probability }) => [
    tokenizer.decode(tokens),
    probability,
  ]),
);

const answers = (options: Record<string, unknown>) =>
  observe(rewardGuidedSpeculative, {
    reward: cannedProcessReward(worth),
    options: { draft: "other", ...options },
  });

describe("reward-guided speculative decoding's law", () => {
  test.each([1, 512])("is the draft's with threshold 0, steps of %i tokens", async (tokens) => {
    const observed = await answers({ threshold: 0, step_tokens: tokens });
    expect(chiSquare(observed, draftLaw, draws)).toBeLessThan(limit);
    expect(chiSquare(observed, textLaw(2), draws)).toBeGreaterThan(2 * limit);
  });

  test.each([1, 512])("is the policy's above 1, steps of %i tokens", async (tokens) => {
    const observed = await answers({ threshold: 1.1, step_tokens: tokens });
    expect(chiSquare(observed, textLaw(2), draws)).toBeLessThan(limit);
    expect(chiSquare(observed, draftLaw, draws)).toBeGreaterThan(2 * limit);
  });

  test("of one step is the draft's where it is good enough, else the policy's", async () => {
    const threshold = 0.5;
    const stands = (text: string) => text !== "" && worth(text) >= threshold;
    const rejected = [...draftLaw].reduce((sum, [text, p]) => sum + (stands(text) ? 0 : p), 0);
    const law = new Map(
      [...textLaw(2)].map(([text, p]) => {
        const drafted = stands(text) ? draftLaw.get(text)! : 0;
        return [text, drafted + rejected * p];
      }),
    );
    expect(rejected).toBeGreaterThan(0.1);
    expect(rejected).toBeLessThan(0.9);
    expect(chiSquare(await answers({ threshold }), law, draws)).toBeLessThan(limit);
  });
});

describe("reward-guided speculative decoding", () => {
  const scores = new Map([
    ["a", 0.9],
    ["aa", 0.7],
    ["aaa", 0.69],
  ]);

  // seed-003's worked numbers: at 0.7, scores 0.9, 0.7 and 0.69 are accepted, accepted, rejected
  test("lets a step of exactly the threshold stand", async () => {
    const reward = cannedProcessReward((step) => scores.get(step) ?? 0);
    const bias = new Map([[tokenizer.idOf("a")!, 100]]);
    const { result } = await finish(rewardGuidedSpeculative, {
      reward,
      options: { draft: "other", step_tokens: 1 },
      sampling: { maxTokens: 3, logitBias: bias },
    });
    expect(result.warnings).toEqual(["2 of 3 steps that the draft proposed stand."]);
    expect(result.candidates.map(({ text }) => text)).toEqual(["aaa", "aaa"]);
  });

  test("says a step as soon as it stands", async () => {
    const reward = cannedProcessReward(worth);
    const options = { draft: "other", threshold: 0.3, step_tokens: 1 };
    const run = { reward, options, sampling: { seed: 3 } };
    const { events } = await finish(rewardGuidedSpeculative, run);
    const types = events.map(({ type }) => type);
    expect(types.indexOf("text-delta")).toBeLessThan(types.lastIndexOf("candidate-delta"));
  });

  test("lets the policy write what a failing reward leaves unjudged", async () => {
    const source = cannedProcessReward(() => 0.9);
    const reward: ProcessReward = {
      ...source,
      open(prompt, signal) {
        const session = source.open(prompt, signal);
        let calls = 0;
        const scoreSteps = async (text: string) => {
          calls++;
          if (calls === 1) throw new Error("503");
          return session.scoreSteps(text);
        };
        return { ...session, scoreSteps };
      },
    };
    const options = { draft: "other", threshold: 0, step_tokens: 512 };
    const { result } = await finish(rewardGuidedSpeculative, {
      reward,
      options,
      sampling: { logitBias: new Map([[end, -100]]) },
    });
    expect(result.warnings).toEqual(["0 of 1 steps that the draft proposed stand."]);
    expect(result.candidates[result.chosen[0]!]!.reward).toBe(0.9);
  });

  test("refuses a draft of another vocabulary, and one that is not served", async () => {
    const foreign = tabularPolicy({ id: "foreign", tokenizer: chatTokenizer(["ab ab"], 262) });
    const models = { ...tableModels, policy: () => foreign };
    const run = { reward: cannedProcessReward(worth), options: { draft: "foreign" } };
    await expect(finish(rewardGuidedSpeculative, { ...run, models })).rejects.toMatchObject({
      param: "alignment.draft",
    });
    await expect(finish(rewardGuidedSpeculative, run)).rejects.toMatchObject({
      code: "model_not_found",
    });
  });
});
