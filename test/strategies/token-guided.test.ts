/** The laws of token-guided strategies, by enumeration; and what guiding by a reward or a policy promises besides. */
import { describe, expect, test } from "vitest";
import { splitSeed } from "../../src/base/random.ts";
import { createRewardModel } from "../../src/rewards/reward-model.ts";
import { args } from "../../src/strategies/args.ts";
import type { Strategy } from "../../src/strategies/define.ts";
import { dera } from "../../src/strategies/dera.ts";
import { genarm } from "../../src/strategies/genarm.ts";
import { rad } from "../../src/strategies/rad.ts";
import { sample } from "../../src/strategies/sample.ts";
import { valueGuided } from "../../src/strategies/value-guided.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { cannedScorer } from "../support/canned-scorer.ts";
import type { Law } from "../support/tabular-generator.ts";
import {
  chatTokenizer,
  end,
  law,
  otherLaw,
  tabularPolicy,
  template,
  tokenizer,
} from "../support/tabular-policy.ts";
import { chiSquare, draws, limit, observe, textLaw } from "./laws.ts";
import { best, finish, type RunOptions, start } from "./support.ts";

const [a, b, c] = ["a", "b", "c"].map((letter) => tokenizer.idOf(letter)!) as [
  number,
  number,
  number,
];
/** A reward of every prefix that neither length nor likelihood decides, in [−1, 1]. */
const wavy = (text: string) =>
  Math.sin(Array.from(text).reduce((sum, letter, i) => sum + (i + 1) * letter.codePointAt(0)!, 1));

const textOf = (history: readonly number[]) => tokenizer.decode(history);

/** π(v)·exp(gain(v)) over the k most likely tokens, normalised; ties of π are not asked of it. */
function tilted(rows: Law, gain: (history: readonly number[], id: number) => number, k = 4): Law {
  return (history) => {
    const row = [...rows(history)].filter(([, p]) => p > 0);
    const kept = row.toSorted(([, p], [, q]) => q - p).slice(0, k);
    const weights = kept.map(([id, p]) => [id, p * Math.exp(gain(history, id))] as const);
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    return new Map(weights.map(([id, weight]) => [id, weight / total]));
  };
}

/** The reward of the text that the answer would be: an end adds nothing to it. */
const rewardOf = (reward: (text: string) => number) => (history: readonly number[], id: number) =>
  reward(textOf(id === end ? history : [...history, id]));

async function distance(strategy: Strategy, run: RunOptions, rows: Law): Promise<number> {
  const observed = await observe(strategy, run);
  return chiSquare(observed, textLaw(run.sampling?.maxTokens ?? 2, rows), draws);
}

const reward = cannedReward(wavy);
const gained = (weight: number) => (history: readonly number[], id: number) =>
  weight * rewardOf(wavy)(history, id);

describe("the law of", () => {
  test("args is softmax(logit + w·r) over the k most likely tokens", async () => {
    const run = { reward, options: { weight: 1.5, k: 3 } };
    const rows = tilted(law, gained(1.5), 3);
    // after c all four tokens are as likely: the lowest ids are the candidates, whichever those are
    const tied = new Set([a, b, c, end].toSorted((x, y) => x - y).slice(0, 3));
    const afterC = tilted(() => new Map([...tied].map((id) => [id, 1 / 3])), gained(1.5));
    const guided: Law = (history) => (history.at(-1) === c ? afterC(history) : rows(history));
    expect(await distance(args, run, guided)).toBeLessThan(limit);
    expect(
      await distance(args, { ...run, options: { weight: 1.4, k: 4 } }, guided),
    ).toBeGreaterThan(limit);
  });

  test("args at a temperature divides the whole score by it", async () => {
    const temperature = 0.7;
    const hot: Law = (history) =>
      new Map([...law(history)].map(([id, p]) => [id, p ** (1 / temperature)]));
    const run = { reward, options: { weight: 1 }, sampling: { temperature } };
    expect(await distance(args, run, tilted(hot, gained(1 / temperature)))).toBeLessThan(limit);
  });

  test("args over all tokens with w = 0 is the policy's own", async () => {
    expect(await distance(args, { reward, options: { weight: 0 } }, law)).toBeLessThan(limit);
  });

  test("value-guided is π·exp(λV)/Z", async () => {
    for (const lambda of [-1, 2]) {
      const run = { reward, options: { lambda, k: 0 } };
      expect(await distance(valueGuided, run, tilted(law, gained(lambda)))).toBeLessThan(limit);
    }
  });

  test("rad adds β times the reward, clamped to 0 … 1", async () => {
    const doubled = cannedReward((text) => 2 * wavy(text));
    const clamped = rewardOf((text) => Math.min(1, Math.max(0, 2 * wavy(text))));
    const rows = tilted(law, (history, id) => 3 * clamped(history, id));
    const run = { reward: doubled, options: { beta: 3 } };
    expect(await distance(rad, run, rows)).toBeLessThan(limit);
    expect(await distance(rad, { ...run, options: { beta: 0 } }, law)).toBeLessThan(limit);
  });

  test("dera is the policy's at λ = 0, the aligned one's at 1, and goes on beyond", async () => {
    expect(await distance(dera, { options: { lambda: 0 } }, law)).toBeLessThan(limit);
    expect(await distance(dera, { options: { lambda: 1 } }, otherLaw)).toBeLessThan(limit);
    for (const lambda of [0.5, 2]) {
      const rows = tilted(law, (history, id) => {
        return lambda * Math.log(otherLaw(history).get(id)! / law(history).get(id)!);
      });
      expect(await distance(dera, { options: { lambda } }, rows)).toBeLessThan(limit);
    }
  });

  test("genarm is π·armᵅ, and the base's at α = 0", async () => {
    expect(await distance(genarm, { options: { alpha: 0 } }, law)).toBeLessThan(limit);
    const rows = tilted(law, (history, id) => 1.5 * Math.log(otherLaw(history).get(id)!));
    expect(await distance(genarm, { options: { alpha: 1.5 } }, rows)).toBeLessThan(limit);
  });
});

describe("a worked example", () => {
  // seed-003's: logits (2, 1.5, 0.5) of the tokens a, b and c
  const weights = [2, 1.5, 0.5].map(Math.exp);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const rows: Law = () => new Map([a, b, c].map((id, i) => [id, weights[i]! / total]));
  const policy = tabularPolicy({ law: rows });
  const byLetter = (rewards: readonly number[]) =>
    cannedReward((text) => rewards["abc".indexOf(text)] ?? Number.NaN);
  const of =
    (p: readonly number[]): Law =>
    () =>
      new Map([a, b, c].map((id, i) => [id, p[i]!]));
  const one = { policy, sampling: { maxTokens: 1 } };
  const two = 13.82; // 2 degrees of freedom, p = 0.001

  test.each([
    [1, [0.140244383, 0.231223898, 0.628531719]],
    [0.7, [0.0864567, 0.176607442, 0.736935858]],
  ])("of ARGS at temperature %d", async (temperature, p) => {
    const run = { ...one, reward: byLetter([0, 1, 3]), sampling: { maxTokens: 1, temperature } };
    expect(await distance(args, run, of(p))).toBeLessThan(two);
  });

  test("of ARGS, greedy: w = 0 takes a, w = 1 takes c, w = 1/2 ties and takes the lowest id", async () => {
    const letter = async (weight: number) => {
      const options = { weight, method: "greedy" };
      return best(await finish(args, { ...one, reward: byLetter([0, 1, 3]), options })).text;
    };
    expect([await letter(0), await letter(1)]).toEqual(["a", "c"]);
  });

  test.each([
    [2, [0.233825265, 0.702449916, 0.063724819]],
    [0, [0.546549387, 0.33149896, 0.121951652]],
  ])("of RAD with β = %d", async (beta, p) => {
    const run = { ...one, reward: byLetter([0.1, 0.9, 0.2]), options: { beta } };
    expect(await distance(rad, run, of(p))).toBeLessThan(two);
  });
});

describe("greedy", () => {
  const ids = { a, b, c, end };

  test.each([[{}], [{ a: -100 }], [{ b: 1 }], [{ end: -100 }], [{ a: 0.4, end: -0.8 }]])(
    "args with w = 0 is sample's, under the bias %j",
    async (bias: Record<string, number>) => {
      const entries = Object.entries(bias).map(
        ([name, amount]) => [ids[name as keyof typeof ids], amount] as const,
      );
      const sampling = { temperature: 0, logitBias: new Map(entries) };
      const plain = best(await finish(sample, { sampling }));
      const run = { reward, sampling, options: { weight: 0 } };
      const guided = best(await finish(args, run));
      expect(guided.text).toBe(plain.text);
      expect(guided.finishReason).toBe(plain.finishReason);
    },
  );

  test("args takes the highest score at every step, whatever the temperature", async () => {
    const rows = tilted(law, gained(2));
    const taken: number[] = [];
    while (taken.length < 8 && taken.at(-1) !== end) {
      taken.push([...rows(taken)].toSorted(([, p], [, q]) => q - p)[0]![0]);
    }
    for (const seed of [1, 2, 3]) {
      const run = { reward, sampling: { seed }, options: { weight: 2, method: "greedy" } };
      const { tokens } = best(await finish(args, run));
      expect(tokens.map(({ id }) => id)).toEqual(taken);
    }
  });
});

describe("the KL estimate", () => {
  const along = (rows: Law, tokens: readonly number[]) =>
    tokens.reduce((sum, _, t) => {
      const history = tokens.slice(0, t);
      const terms = [...rows(history)].map(([id, q]) => q * Math.log(q / law(history).get(id)!));
      return sum + terms.reduce((x, y) => x + y, 0);
    }, 0);

  test("is the sum of the exact KL of each token's law", async () => {
    const rows = tilted(law, gained(2));
    for (let seed = 0; seed < 10; seed++) {
      const run = { reward, options: { weight: 2 }, sampling: { seed } };
      const finished = await finish(args, run);
      const tokens = best(finished).tokens.map(({ id }) => id);
      expect(finished.result.kl.bound).toBeNull();
      expect(finished.result.kl.estimate).toBeCloseTo(along(rows, tokens), 5);
    }
  });

  test("of a greedy answer is its improbability", async () => {
    const finished = await finish(args, { reward, options: { method: "greedy" } });
    expect(finished.result.kl.estimate).toBeCloseTo(-best(finished).logprob, 9);
  });

  test("is unknown where the sampling law is not the policy's", async () => {
    const { result } = await finish(args, { reward, sampling: { topP: 0.9 } });
    expect(result.kl).toEqual({ bound: null, estimate: null });
  });
});

describe("sampling settings", () => {
  test("ban a token from being judged", async () => {
    const judge = cannedReward(wavy);
    const logitBias = new Map([[a, -100]]);
    for (let seed = 0; seed < 10; seed++) {
      await finish(args, { reward: judge, sampling: { seed, logitBias } });
    }
    expect(judge.texts.filter((text) => text.includes("a"))).toEqual([]);
  });

  test("force a token that is not among the k most likely", async () => {
    const run = { reward, options: { k: 1 }, sampling: { logitBias: new Map([[c, 100]]) } };
    expect(best(await finish(args, run)).text).toBe("c".repeat(8));
  });

  test("filter what guiding left: top-k 1 is greedy", async () => {
    const greedy = { reward, options: { weight: 2, method: "greedy" } };
    const filtered = { reward, options: { weight: 2 }, sampling: { topK: 1 } };
    const [one, other] = [await finish(args, greedy), await finish(args, filtered)];
    expect(best(other).tokens).toEqual(best(one).tokens);
  });

  test("penalise what the answer has already", async () => {
    const sampling = { temperature: 0, presencePenalty: 2, logitBias: new Map([[end, -100]]) };
    const run = { reward, options: { weight: 0 }, sampling: { ...sampling, maxTokens: 3 } };
    const { tokens } = best(await finish(args, run));
    expect(new Set(tokens.map(({ id }) => id)).size).toBe(3);
  });

  test("report the policy's own log-probabilities", async () => {
    const run = { reward, options: { weight: 3 }, sampling: { topLogprobs: 2, temperature: 0.5 } };
    const { tokens } = best(await finish(args, run));
    for (const [t, { id, logprob, top }] of tokens.entries()) {
      const row = law(tokens.slice(0, t).map((token) => token.id));
      expect(logprob).toBeCloseTo(Math.log(row.get(id)!), 6);
      const most = [...row.values()].toSorted((x, y) => y - x).slice(0, 2);
      expect(top.map((each) => Math.exp(each.logprob))).toEqual(
        most.map((p) => expect.closeTo(p, 6)),
      );
    }
  });

  test("give each choice its own stream, whatever stands beside it", async () => {
    const run = { reward, sampling: { seed: 7 } };
    const [one] = (await finish(args, run)).result.candidates;
    const three = (await finish(args, { ...run, choices: 3 })).result;
    expect(three.candidates[0]).toEqual(one);
    expect(three.chosen).toEqual([0, 1, 2]);
    expect(splitSeed(7, 0)).not.toBe(splitSeed(7, 1));
  });
});

describe("an answer that is guided", () => {
  test("streams each token before the next is judged", async () => {
    const judge = cannedReward(wavy);
    let streamed = "";
    const sampling = { logitBias: new Map([[end, -100]]) };
    for await (const event of start(args, { reward: judge, sampling })) {
      if (event.type !== "text-delta") continue;
      streamed += event.text;
      // judged so far: continuations of what was streamed, or of that and one more token
      expect(Math.max(...judge.texts.map(({ length }) => length))).toBeLessThanOrEqual(
        streamed.length + 2,
      );
    }
    expect(streamed).toHaveLength(8);
  });

  test("ends where its tokens are spent, and says so", async () => {
    const sampling = { logitBias: new Map([[end, -100]]) };
    const { events, result, budget } = await finish(args, {
      reward,
      sampling,
      budget: { tokens: 3 },
    });
    expect(result.stopped).toBe("tokens");
    expect(result.candidates[0]).toMatchObject({ cut: "budget", finishReason: "length" });
    expect(result.candidates[0]!.text).toHaveLength(3);
    expect(events).toContainEqual({ type: "candidate-cut", index: 0, reason: "budget" });
    expect(budget.tokens).toBe(3);
  });

  test("counts one reward call a candidate, and keeps one for the whole answer", async () => {
    const sampling = { logitBias: new Map([[end, -100]]) };
    const run = { reward, sampling, options: { k: 3 } };
    const { budget, result } = await finish(args, { ...run, budget: { rewardCalls: 10 } });
    expect(result.candidates[0]!.text).toHaveLength(3); // 3 + 3 + 3, then one more: 10
    expect(result).toMatchObject({ stopped: "reward_calls" });
    expect(result.candidates[0]!.reward).toBe(wavy(result.candidates[0]!.text));
    expect(budget.rewardCalls).toBe(10);
  });

  test("is refused when the budget holds none of it", async () => {
    await expect(finish(args, { reward, budget: { rewardCalls: 3 } })).rejects.toMatchObject({
      code: "budget_spent",
      param: "alignment.budget.reward_calls",
    });
  });

  test("counts a token once, however many policies read it", async () => {
    const { budget, result } = await finish(dera, { sampling: { seed: 3 } });
    expect(budget.tokens).toBe(result.candidates[0]!.tokens.length);
  });
});

describe("a reward that guides", () => {
  test("must accept prefixes", async () => {
    for (const strategy of [args, rad, valueGuided]) {
      const whole = { ...reward, acceptsPrefixes: false };
      await expect(finish(strategy, { reward: whole })).rejects.toMatchObject({
        code: "invalid_request",
        param: "alignment.reward",
      });
    }
  });

  test("keeps tokens out that it cannot judge, and the result says how many", async () => {
    const partial = cannedReward((text) => {
      if (text.includes("b")) throw new Error("503 from the judge");
      return text.includes("c") ? Number.NaN : 0;
    });
    for (let seed = 0; seed < 10; seed++) {
      const { result } = await finish(args, { reward: partial, sampling: { seed } });
      expect(result.candidates[0]!.text).toMatch(/^a*$/);
      expect(result.warnings.join(" ")).toMatch(/\d+ of \d+ candidates for a token got no reward/);
    }
  });

  test("fails the request where it can judge none, with each reason once", async () => {
    const broken = cannedReward(() => {
      throw new Error("503 from the judge");
    });
    const failed = finish(args, { reward: broken, choices: 2 });
    await expect(failed).rejects.toMatchObject({ code: "all_candidates_failed" });
    await expect(failed).rejects.toThrow(
      "None of the 4 candidates got a usable reward: 503 from the judge.",
    );
    expect(broken.openSessions()).toBe(0);
  });

  test("outside of 0 … 1 is named by rad", async () => {
    const large = cannedReward((text) => 5 + wavy(text));
    const { result } = await finish(rad, { reward: large });
    expect(result.warnings.join(" ")).toMatch(/lay outside of 0 to 1 and were clamped/);
    const inside = cannedReward(() => 0.5);
    expect((await finish(rad, { reward: inside })).result.warnings.join(" ")).not.toMatch(
      /clamped/,
    );
  });

  test("is named where it reads whole texts", async () => {
    const { warnings } = (await finish(args, { reward })).result;
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/'canned' does not follow the policy's tokens \(it judges texts\)/);
  });

  const scorer = () =>
    cannedScorer((tokens) => {
      const answer = textOf(tokens).split("assistant\n").at(-1)!;
      return wavy(answer.trimEnd());
    });
  const model = (using = scorer(), words = tokenizer) =>
    createRewardModel({ id: "judge", scorer: using, tokenizer: words, template });

  test("with the policy's tokens follows them, says nothing, and gives the same law", async () => {
    const using = scorer();
    const { result, budget } = await finish(args, { reward: model(using), options: { k: 3 } });
    expect(result.warnings).toEqual([]);
    expect(using.calls).toHaveLength(1); // the whole answer
    expect(using.branches.every((branch) => branch.length === 3)).toBe(true);
    expect(budget.rewardCalls).toBe(3 * using.branches.length + 1);
    for (const at of ["token", "end-of-turn"]) {
      const run = { reward: model(), options: { weight: 2, at } };
      expect(await distance(args, run, tilted(law, gained(2)))).toBeLessThan(limit);
    }
  });

  test("with other tokens is asked for texts, and the result says so", async () => {
    const other = chatTokenizer(["aab", "aab", "aab"], 262);
    const { warnings } = (await finish(args, { reward: model(scorer(), other) })).result;
    expect(warnings.join(" ")).toMatch(/tokenizers differ\): each step gives it the whole text/);
  });

  test("ends the answer where its context does, and the result says so", async () => {
    const prompt = template.render([{ role: "user", content: "?" }], { addGenerationPrompt: true });
    const room = tokenizer.encode(prompt, { special: "parse" }).length + 2; // and the turn's end
    const short = cannedScorer(() => 0, room + 3);
    const sampling = { logitBias: new Map([[end, -100]]) };
    const { result } = await finish(args, { reward: model(short), sampling });
    expect(result.candidates[0]!.text).toHaveLength(3);
    expect(result.warnings).toEqual([
      "The answer ends after 3 tokens: what guides it can follow no more.",
    ]);
  });

  test("is not asked for every token of a large vocabulary", async () => {
    const policy = { ...tabularPolicy(), vocabSize: 50_000 };
    await expect(finish(valueGuided, { policy, reward, options: { k: 0 } })).rejects.toMatchObject({
      param: "alignment.k",
    });
  });
});

describe("a policy that guides", () => {
  const withModel = (policy: ReturnType<typeof tabularPolicy>) => ({
    models: { policy: () => policy, reward: () => reward },
  });

  test.each([
    [genarm, "arm"],
    [dera, "aligned"],
  ] as const)("of %o must have the same tokens", async (strategy, option) => {
    const foreign = tabularPolicy({ tokenizer: chatTokenizer(["aab", "aab", "aab"], 262) });
    await expect(finish(strategy, withModel(foreign))).rejects.toMatchObject({
      code: "invalid_request",
      param: `alignment.${option}`,
    });
  });

  test("must be served", async () => {
    const run = { options: { aligned: "nobody" } };
    await expect(finish(dera, run)).rejects.toMatchObject({ code: "model_not_found" });
  });

  test("must hold the prompt, and ends the answer where its context ends", async () => {
    const prompt = tabularPolicy().encode({ kind: "text", text: "?" }).length;
    const none = tabularPolicy({ contextTokens: prompt });
    await expect(finish(dera, withModel(none))).rejects.toMatchObject({
      param: "alignment.aligned",
    });
    const some = tabularPolicy({ contextTokens: prompt + 3 });
    const sampling = { logitBias: new Map([[end, -100]]) };
    const { result } = await finish(dera, { ...withModel(some), sampling });
    expect(result.candidates[0]!.text).toHaveLength(3);
    expect(result.warnings).toHaveLength(1);
  });
});
