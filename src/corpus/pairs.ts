/**
 * Preference pairs for the reward model, labelled by the gold reward through a noisy judge:
 *
 *   P(the better one is chosen) = (1 − ε) σ(s Δ) + ε (1 − σ(s Δ)),  Δ = gold(better) − gold(worse)
 *
 * with s the judge's sharpness and ε its rate of slips. Pairs of equal gold are dropped.
 * Source of the label model: Bradley & Terry 1952.
 */
import { createRandom, type Random } from "../base/random.ts";
import { solveWith } from "./arithmetic/solution.ts";
import { damage } from "./damage.ts";
import { chance, pick, pickWeighted } from "./draw.ts";
import { goldReward } from "./gold.ts";
import { sftMixture } from "./mixtures.ts";
import { makeReply, promptOf } from "./prompts.ts";
import { addFlaw, drawFlaws, rightPlan, writeReply } from "./support/reply.ts";
import {
  type ArithmeticFacts,
  type CorpusPrompt,
  domains,
  type Split,
  type SupportFacts,
  supportFlaws,
} from "./types.ts";

export interface LabelNoise {
  /** s ≥ 0; Infinity: always by gold. */
  readonly sharpness: number;
  /** ε in [0, 0.5]. */
  readonly flipRate: number;
}

/** A judge who is right in about 95 % of the pairs, most often wrong where little is at stake. */
export const standardNoise: LabelNoise = { sharpness: 4, flipRate: 0.03 };
export const noNoise: LabelNoise = { sharpness: Number.POSITIVE_INFINITY, flipRate: 0 };

export interface PreferencePair {
  readonly prompt: CorpusPrompt;
  readonly chosen: string;
  readonly rejected: string;
  readonly goldChosen: number;
  readonly goldRejected: number;
  /** The label is against gold. */
  readonly flipped: boolean;
}

/** Endless, reproducible, train side, noisy labels. */
export function preferencePairs(
  seed: number,
  noise: LabelNoise = standardNoise,
): Generator<PreferencePair, never> {
  return pairs("train", seed, noise);
}

/** Endless, reproducible, held-out side, labels by gold alone. */
export function heldoutPairs(seed: number): Generator<PreferencePair, never> {
  return pairs("heldout", seed, noNoise);
}

/** Labels two replies of one prompt, for instance a policy's own; null when gold cannot tell them apart. */
export function labelPair(
  prompt: CorpusPrompt,
  replies: readonly [string, string],
  noise: LabelNoise,
  random: Random,
): PreferencePair | null {
  const [first, second] = replies.map((text) => ({ text, gold: goldReward(prompt, text).total }));
  if (first!.gold === second!.gold) return null;
  const [better, worse] = first!.gold > second!.gold ? [first!, second!] : [second!, first!];
  const agrees = chance(random, 1 / (1 + Math.exp(-noise.sharpness * (better.gold - worse.gold))));
  const flipped = chance(random, noise.flipRate) ? agrees : !agrees;
  const [chosen, rejected] = flipped ? [worse, better] : [better, worse];
  return {
    prompt,
    chosen: chosen.text,
    rejected: rejected.text,
    goldChosen: chosen.gold,
    goldRejected: rejected.gold,
    flipped,
  };
}

/** Several replies to one prompt, and the labels of every two of them that gold can tell apart. */
export interface PreferenceGroup {
  readonly prompt: CorpusPrompt;
  readonly replies: readonly string[];
  /** Indices into `replies`. */
  readonly pairs: readonly { readonly chosen: number; readonly rejected: number }[];
}

/**
 * Endless, reproducible, train side, noisy labels: two pairs' replies to one prompt, compared each with
 * each. Six labels for four texts, where separate pairs need twelve.
 * Source: Ouyang et al., arXiv:2203.02155, section 3.5 (all comparisons of one prompt in one batch).
 */
export function* preferenceGroups(
  seed: number,
  noise: LabelNoise = standardNoise,
): Generator<PreferenceGroup, never> {
  const random = createRandom(seed);
  for (;;) {
    const prompt = promptOf(pick(random, domains), "train", random);
    const replies = [...drawReplies(prompt, random), ...drawReplies(prompt, random)];
    const pairs = replies.flatMap((first, i) =>
      replies.slice(i + 1).flatMap((second, offset) => {
        const label = labelPair(prompt, [first, second], noise, random);
        if (!label) return [];
        const j = i + 1 + offset;
        return [label.chosen === first ? { chosen: i, rejected: j } : { chosen: j, rejected: i }];
      }),
    );
    if (pairs.length > 0) yield { prompt, replies, pairs };
  }
}

function* pairs(side: Split, seed: number, noise: LabelNoise): Generator<PreferencePair, never> {
  const random = createRandom(seed);
  for (;;) {
    const prompt = promptOf(pick(random, domains), side, random);
    const pair = labelPair(prompt, drawReplies(prompt, random), noise, random);
    if (pair) yield pair;
  }
}

/** Half the pairs differ in one aspect only, a tenth has a damaged text; the rest are two mixture replies. */
function drawReplies(prompt: CorpusPrompt, random: Random): [string, string] {
  const kind = pickWeighted(random, { single: 0.5, damaged: 0.1 });
  if (kind === "single") {
    const { facts } = prompt;
    return facts.domain === "support" ? oneAspect(facts, random) : oneSlip(facts, random);
  }
  const first = makeReply(prompt, random).text;
  return [first, kind === "damaged" ? damage(first, random) : makeReply(prompt, random).text];
}

/** The same reply with and without one flaw; both may have others. */
function oneAspect(facts: SupportFacts, random: Random): [string, string] {
  const flaw = pick(random, supportFlaws);
  const isTone = flaw === "curt" || flaw === "rude";
  const others = drawFlaws(random, sftMixture.support).filter(
    (other) => other !== flaw && !(isTone && (other === "curt" || other === "rude")),
  );
  const base = others.reduce(
    (plan, f) => addFlaw(plan, f, facts, random),
    rightPlan(facts, random),
  );
  const flawed = addFlaw(base, flaw, facts, random);
  return [writeReply(base, facts).text, writeReply(flawed, facts).text];
}

/** The right solution and one with a single flaw, the flaws as often as in the mixture. */
function oneSlip(facts: ArithmeticFacts, random: Random): [string, string] {
  const flaw = pickWeighted(random, sftMixture.arithmetic) ?? "off-by-one";
  return [solveWith(facts, null, random).text, solveWith(facts, flaw, random).text];
}
