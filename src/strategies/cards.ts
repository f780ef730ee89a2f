/**
 * Cascade reward sampling: the answer grows by segments that end where the model is unsure what comes next (the entropy
 * of the next token reaches a threshold); a segment is drawn again until the answer so far is good enough:
 *   r₀ = (1 − α)·r(x, "") + α·r*,  τ(t) = min(r*, r₀ + t·(r* − r₀)/max_tokens),  t the answer's tokens with the segment,
 *   accepted with probability min(1, exp((r − τ(t))/β)), or where `soft` is false when r ≥ τ(t).
 * After `rejections_max` rejections the best segment seen is taken.
 * The entropy is bounded below from the 20 most likely tokens: the rest of the mass is as concentrated as their least
 * likely one allows, H ≥ −Σ pᵢ ln pᵢ − q·ln p₂₀: exact for a uniform law, and for one of 20 tokens. Nats. The token that
 * would begin the next segment has been drawn when this is known; it is forgotten, which changes no law.
 * Cost: (rejections + 1) times a segment, one after the other, a reward call each, and one of the empty answer.
 * Streams truly: an accepted segment is final. Several choices are as many searches side by side.
 * Source: Li et al., arXiv:2406.16306, and its reward_sampling.py.
 */
import { type Static, Type } from "typebox";
import { createRandom, splitSeed } from "../base/random.ts";
import type { SampledToken } from "../engine/types.ts";
import type { RewardSession } from "../rewards/define.ts";
import { noKl } from "./beam-search.ts";
import { defineStrategy, type StrategyInput } from "./define.ts";
import { demandPrefixes, refusal } from "./demands.ts";
import {
  type Branch,
  byValue,
  demandVerdict,
  type Segment,
  type Segments,
  searchSegments,
} from "./segments.ts";

const options = Type.Object({
  reward_goal: Type.Number({ default: 8.5, description: "r*, in the reward's unit" }),
  alpha: Type.Number({
    minimum: 0,
    maximum: 1,
    default: 0.5,
    description: "where the threshold starts: 0 at the empty answer's reward, 1 at the goal",
  }),
  beta: Type.Number({ exclusiveMinimum: 0, default: 0.7, description: "softness of acceptance" }),
  soft: Type.Boolean({ default: true, description: "accept by chance below the threshold" }),
  entropy: Type.Number({
    minimum: 0,
    default: 3,
    description: "nats of the next token's law at which a segment ends",
  }),
  segment_tokens_min: Type.Integer({ minimum: 1, default: 4 }),
  segment_tokens_max: Type.Integer({ minimum: 1, default: 64 }),
  top_k: Type.Integer({
    minimum: 0,
    default: 40,
    description: "draws among the k most likely tokens; 0: as the request says",
  }),
  rejections_max: Type.Integer({ minimum: 0, maximum: 1000, default: 20 }),
});

export const cards = defineStrategy({
  name: "cards",
  description: "Draws segments that end where the model is unsure, again until they are good.",
  needsReward: true,
  options,
  async *run(input, asked) {
    const reward = demandPrefixes("cards", input.reward);
    if (asked.segment_tokens_min > asked.segment_tokens_max) {
      throw refusal("segment_tokens_min", "it is greater than segment_tokens_max");
    }
    const open = (signal: AbortSignal) => reward.open(input.rewardPrompt, signal);
    const search = async (segments: Segments, session: RewardSession) => {
      const empty = await segments.judge(segments.root(), () => session.score(""));
      const accept = acceptance(asked, {
        empty: empty.reward ?? asked.reward_goal, // as after α = 1, where nobody judges nothing
        tokensMax: input.sampling.maxTokens,
      });
      const parts = { input, segments, session, asked, accept };
      const starts = Array.from({ length: input.choices }, (_, choice) => choice);
      const grown = await segments.all(starts.map((choice) => growSegments(choice, parts)));
      const warnings = empty.reward === null ? [noStart(empty.rewardProblem)] : [];
      return { grown, warnings, candidates: segments.close("budget") };
    };
    const { grown, candidates, warnings } = yield* searchSegments(input, open, search);
    const chosen = grown.map(({ index }) => index!);
    const stopped = grown.every(({ end }) => end !== null) ? "complete" : input.budget.spent!;
    yield { type: "done", result: { candidates, chosen, kl: noKl, stopped, warnings } };
  },
});

const noStart = (problem: string | null) =>
  `The empty answer has no reward (${problem}); the threshold is reward_goal throughout.`;

export interface AcceptanceOptions {
  readonly reward_goal: number;
  readonly alpha: number;
  readonly beta: number;
  readonly soft: boolean;
}

/** The threshold at t tokens, and the probability with which a reward is accepted there. */
export function acceptance(
  { reward_goal: goal, alpha, beta, soft }: AcceptanceOptions,
  { empty, tokensMax }: { empty: number; tokensMax: number },
) {
  const start = (1 - alpha) * empty + alpha * goal;
  const threshold = (t: number) => Math.min(goal, start + (t * (goal - start)) / tokensMax);
  const probability = (reward: number, t: number) => {
    const above = reward - threshold(t);
    if (!soft) return above >= 0 ? 1 : 0;
    return Math.min(1, Math.exp(above / beta));
  };
  return { threshold, probability };
}

/**
 * The least entropy, in nats, of a law whose most likely tokens are these.
 * @param top log-probabilities, descending
 */
export function entropyAtLeast(top: readonly { readonly logprob: number }[]): number {
  const known = top.filter(({ logprob }) => logprob > Number.NEGATIVE_INFINITY);
  const within = known.reduce((sum, { logprob }) => sum - Math.exp(logprob) * logprob, 0);
  const mass = known.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0);
  return within - Math.max(0, 1 - mass) * (known.at(-1)?.logprob ?? 0);
}

interface Parts {
  readonly input: StrategyInput;
  readonly segments: Segments;
  readonly session: RewardSession;
  readonly asked: Static<typeof options>;
  readonly accept: ReturnType<typeof acceptance>;
}

async function growSegments(choice: number, parts: Parts): Promise<Branch> {
  const { segments, input } = parts;
  let branch = segments.root(choice);
  do {
    const next = await drawSegment(branch, parts);
    const tokens = next.tokens.slice(branch.tokens.length);
    segments.emit({
      type: "text-delta",
      choice,
      text: next.text.slice(branch.text.length),
      tokens,
    });
    branch = next;
  } while (branch.end === null && input.budget.spent === null);
  return branch;
}

/** Draws until one is accepted, or takes the best of those that were not. */
async function drawSegment(from: Branch, parts: Parts): Promise<Branch> {
  const { segments, session, input, asked, accept } = parts;
  const random = createRandom(splitSeed(from.seed, -1));
  const seen: Branch[] = [];
  let accepted: Branch | null = null;
  do {
    const seed = splitSeed(from.seed, seen.length);
    const start = seen.length === 0 ? from : { ...from, index: null, seed };
    const [drawn] = await segments.extend(start, 1, segmentOf(asked));
    const judged = await segments.judge(drawn!, ({ text }) => session.score(text));
    seen.push(judged);
    const { value, tokens } = judged;
    const chance = value === null ? 0 : accept.probability(value, tokens.length);
    if (random.uniform() < chance) accepted = judged;
  } while (accepted === null && seen.length < asked.rejections_max && input.budget.spent === null);
  demandVerdict(seen, input.budget);
  const kept = accepted ?? byValue(seen)[0]!;
  segments.reject(seen.filter((branch) => branch !== kept));
  return kept;
}

function segmentOf(asked: Parts["asked"]): Segment {
  const { entropy, segment_tokens_min: min, segment_tokens_max: tokensMax, top_k: topK } = asked;
  return {
    tokensMax,
    endsBefore: ({ top }: SampledToken, drawn: number) =>
      drawn >= min && entropyAtLeast(top) >= entropy,
    sampling: { topLogprobs: 20, ...(topK > 0 && { topK }) },
  };
}
