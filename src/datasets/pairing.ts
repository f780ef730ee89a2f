/** From answers with rewards to rows to train on: winners, preferences, rankings, labels. Ties go to the earlier answer. */
import { assert } from "../base/assert.ts";
import { createRandom, type Random, splitSeed } from "../base/random.ts";
import { quantileOfSorted } from "../base/statistics.ts";
import { characters } from "./prompt.ts";
import type { RewardedAnswer, RewardedPrompt } from "./rewarded.ts";
import type { ListRow, PairRow, RatedRow, SupervisedRow } from "./types.ts";

/** Best-of-n as demonstrations: the best answer of each prompt. Source: rejection sampling as in Touvron et al., arXiv:2307.09288, §3.2.3. */
export function bestPerPrompt(prompts: readonly RewardedPrompt[]): SupervisedRow[] {
  return prompts.map(({ prompt, place, answers }) => {
    const { completion, reward } = best(answers);
    return { kind: "supervised", prompt, completion, reward, place };
  });
}

/**
 * The best answers over all prompts, in their order: round(share · answers) of them, at least one. Easy prompts may give many, hard ones none.
 * @param share in (0, 1].
 * Source: RAFT's global ranking, Dong et al., arXiv:2304.06767, §3.
 */
export function topShare(prompts: readonly RewardedPrompt[], share: number): SupervisedRow[] {
  assert(share > 0 && share <= 1, `a share lies in (0, 1], not at ${share}`);
  const all = prompts.flatMap(({ prompt, place, answers }) =>
    answers.map(({ completion, reward }): SupervisedRow & { reward: number } => ({
      kind: "supervised",
      prompt,
      completion,
      reward,
      place,
    })),
  );
  const kept = Math.max(1, Math.round(share * all.length));
  const order = all.map((_, i) => i).sort((i, j) => all[j]!.reward - all[i]!.reward || i - j);
  const chosen = new Set(order.slice(0, kept));
  return all.filter((_, i) => chosen.has(i));
}

export const pairRules = [
  "max_min",
  "random",
  "max_random",
  "max_max",
  "max_min_p",
  "all_pairs",
] as const;

export type PairRule = (typeof pairRules)[number];

export interface PairOptions {
  readonly rule: PairRule;
  /** A pair's rewards must differ by more than this. Default 0.01, as in HALOs. */
  readonly gapMin?: number;
  /** For max_min_p: reward taken off for each character of an answer. */
  readonly lengthPenalty?: number;
  /** Of the draws of random and max_random; each prompt has its own. Default 0. */
  readonly seed?: number;
}

/**
 * At most one pair a prompt, but for all_pairs: best and worst (max_min), two drawn (random), the best and one drawn (max_random), the
 * best two (max_max), best and worst of reward − penalty · characters (max_min_p). `margin` is what their rewards differ by.
 * Source: RLHFlow/Online-RLHF, dpo_iteration/run_dpo.py. There, random takes the first two answers and max_random the first
 * that is not the best, which is the same while their order is a draw; and max_min_p puts the pair back into the order of
 * the rewards without the penalty, which undoes it where it matters: here order and margin are those of the penalised rewards.
 */
export function pairsOf(prompts: readonly RewardedPrompt[], options: PairOptions): PairRow[] {
  const { rule, gapMin = 0.01, lengthPenalty = 0, seed = 0 } = options;
  const penalty = rule === "max_min_p" ? lengthPenalty : 0;
  return prompts.flatMap(({ prompt, key, place, answers }) => {
    const judged = answers.map(({ completion, reward }) => ({
      completion,
      reward: reward - penalty * characters(completion),
    }));
    if (judged.length < 2) return [];
    return picked(judged, rule, drawsFor(key, seed)).flatMap(([one, other]): PairRow[] => {
      const [chosen, rejected] = one.reward >= other.reward ? [one, other] : [other, one];
      const margin = chosen.reward - rejected.reward;
      if (margin <= gapMin) return [];
      const texts = { chosen: chosen.completion, rejected: rejected.completion };
      return [{ kind: "pair", prompt, ...texts, margin, place }];
    });
  });
}

/** The best answer first, for Plackett-Luce and its kin; prompts whose answers are all worth the same have no ranking. */
export function rankings(prompts: readonly RewardedPrompt[]): ListRow[] {
  return prompts.flatMap(({ prompt, place, answers }): ListRow[] => {
    const ranked = byReward(answers);
    if (ranked[0]!.reward === ranked.at(-1)!.reward) return [];
    const completions = ranked.map(({ completion }) => completion);
    return [
      { kind: "list", prompt, completions, rewards: ranked.map(({ reward }) => reward), place },
    ];
  });
}

export type LabelRule =
  /** Desirable from this reward on. */
  | { readonly threshold: number }
  /** Of all answers: the best of them, and the worst; those between get no label. Each in (0, 1), together at most 1. */
  | { readonly desirableShare: number; readonly undesirableShare: number };

/** HALOs' "median" is both shares at a half, but that answers of the middle reward are not all desirable. Source: ContextualAI/HALOs, train/label.py, `convert_to_binary_feedback`. */
export function labelled(prompts: readonly RewardedPrompt[], rule: LabelRule): RatedRow[] {
  const { high, low } = bounds(prompts, rule);
  return prompts.flatMap(({ prompt, place, answers }) =>
    answers.flatMap(({ completion, reward }): RatedRow[] => {
      const desirable = reward >= high;
      if (!desirable && reward > low) return [];
      return [{ kind: "rated", prompt, completion, desirable, place }];
    }),
  );
}

function bounds(
  prompts: readonly RewardedPrompt[],
  rule: LabelRule,
): { high: number; low: number } {
  if ("threshold" in rule) return { high: rule.threshold, low: rule.threshold };
  const { desirableShare, undesirableShare } = rule;
  assert(desirableShare > 0 && undesirableShare > 0, "both labels need a share");
  assert(desirableShare + undesirableShare <= 1, "the shares of both labels are more than all");
  const rewards = prompts.flatMap(({ answers }) => answers.map(({ reward }) => reward));
  assert(rewards.length > 0, "there is no answer to label");
  const sorted = Float64Array.from(rewards).sort();
  const high = quantileOfSorted(sorted, 1 - desirableShare);
  const low = quantileOfSorted(sorted, undesirableShare);
  if (high > low) return { high, low };
  // Many answers of one reward, as verifiers give: they go where there are fewer, and nowhere if all are alike.
  const above = rewards.filter((reward) => reward > low).length;
  const below = rewards.filter((reward) => reward < low).length;
  if (above === 0 && below === 0) return { high: Infinity, low: -Infinity };
  return { high: above > below ? nextAbove(sorted, low) : low, low };
}

const nextAbove = (sorted: Float64Array, reward: number): number =>
  sorted.find((each) => each > reward)!;

type Pick = readonly [RewardedAnswer, RewardedAnswer];

/** @param answers two or more. */
function picked(answers: readonly RewardedAnswer[], rule: PairRule, random: Random): Pick[] {
  const top = best(answers);
  const others = answers.filter((answer) => answer !== top);
  switch (rule) {
    case "max_min":
    case "max_min_p":
      return [[top, byReward(others).at(-1)!]];
    case "max_max":
      return [[top, best(others)]];
    case "max_random":
      return [[top, others[random.integer(others.length)]!]];
    case "random": {
      const first = answers[random.integer(answers.length)]!;
      const rest = answers.filter((answer) => answer !== first);
      return [[first, rest[random.integer(rest.length)]!]];
    }
    case "all_pairs":
      return answers.flatMap((one, i) => answers.slice(i + 1).map((other): Pick => [one, other]));
  }
}

/** A prompt's own draws: what other prompts there are, and where they stand, changes nothing. */
const drawsFor = (key: string, seed: number): Random =>
  createRandom(splitSeed(seed, Number.parseInt(key.slice(0, 8), 16)));

const best = (answers: readonly RewardedAnswer[]): RewardedAnswer =>
  answers.reduce((top, each) => (each.reward > top.reward ? each : top));

const byReward = (answers: readonly RewardedAnswer[]): RewardedAnswer[] =>
  [...answers].sort((a, b) => b.reward - a.reward);
