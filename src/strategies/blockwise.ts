/**
 * Blockwise controlled decoding: draw K continuations of at most M tokens, keep the one with the highest reward of the
 * answer so far, and go on from it: y ← y ++ argmax_{b ∈ K draws of π(·|y), |b| ≤ M} r(x, y ++ b). K = 1 is sampling;
 * M at least the answer's length is best-of-K, token for token.
 * Cost: K times the answer's tokens, all K in one batch; K reward calls a block (none but the last for K = 1).
 * Streams truly: a kept block is final. Several choices are as many searches side by side.
 * KL ≤ ⌈max_tokens/M⌉·(ln K − (K − 1)/K): best-of-K's bound, once a block. With several choices, of the first.
 * Source: Mudgal et al., arXiv:2310.17022, §3.2.
 */
import { Type } from "typebox";
import type { TextSampling } from "../registry/types.ts";
import type { RewardSession } from "../rewards/define.ts";
import { defineStrategy, type StrategyInput, type StrategyResult } from "./define.ts";
import { demandPrefixes } from "./demands.ts";
import { bestOfNBound, bestOfNEstimate, drawsFromModel } from "./kl.ts";
import { type Branch, byValue, demandVerdict, type Segments, searchSegments } from "./segments.ts";

export const blockwise = defineStrategy({
  name: "blockwise",
  description: "Draws the answer block by block, each time the best of several by reward.",
  needsReward: true,
  options: Type.Object({
    k: Type.Integer({ minimum: 1, maximum: 128, default: 8, description: "draws of each block" }),
    block_tokens: Type.Integer({
      minimum: 1,
      default: 16,
      description: "tokens of a block at most; as many as the answer may have make it best-of-k",
    }),
  }),
  async *run(input, { k, block_tokens: blockTokens }) {
    const reward = demandPrefixes("blockwise", input.reward);
    const open = (signal: AbortSignal) => reward.open(input.rewardPrompt, signal);
    const search = async (segments: Segments, session: RewardSession) => {
      const parts = { segments, session, budget: input.budget, k, blockTokens };
      const starts = Array.from({ length: input.choices }, (_, choice) => choice);
      const grown = await segments.all(starts.map((choice) => growBlocks(choice, parts)));
      return { grown, candidates: segments.close("budget") };
    };
    const { grown, candidates } = yield* searchSegments(input, open, search);
    const chosen = grown.map(({ branch }) => branch.index!);
    const isWhole = grown.every(({ branch }) => branch.end !== null);
    const stopped = isWhole ? "complete" : input.budget.spent!;
    const kl = klOf(grown[0]!, { k, blockTokens, sampling: input.sampling });
    yield { type: "done", result: { candidates, chosen, kl, stopped, warnings: [] } };
  },
});

interface Parts {
  readonly segments: Segments;
  readonly session: RewardSession;
  readonly budget: StrategyInput["budget"];
  readonly k: number;
  readonly blockTokens: number;
}

interface Grown {
  readonly branch: Branch;
  /** Σ log π(token) of each block that was kept. */
  readonly blockLogprobs: readonly number[];
  /** Whether every block had its K verdicts. */
  readonly isJudged: boolean;
}

async function growBlocks(
  choice: number,
  { segments, session, budget, k, blockTokens }: Parts,
): Promise<Grown> {
  const score = ({ text }: Branch) => session.score(text);
  const blockLogprobs: number[] = [];
  let branch = segments.root(choice);
  let isJudged = true;
  do {
    const drawn = await segments.extend(branch, k, { tokensMax: blockTokens });
    const isLast = drawn[0]!.end !== null || budget.spent !== null;
    const judged = k > 1 || isLast ? await segments.judgeAll(drawn, score) : drawn;
    if (k > 1) demandVerdict(judged, budget);
    isJudged &&= k === 1 || judged.every(({ value }) => value !== null);
    const [best, ...others] = byValue(judged) as [Branch, ...Branch[]]; // k ≥ 1
    segments.reject(others);
    const tokens = best.tokens.slice(branch.tokens.length);
    const text = best.text.slice(branch.text.length);
    segments.emit({ type: "text-delta", choice, text, tokens });
    blockLogprobs.push(tokens.reduce((sum, { logprob }) => sum + logprob, 0));
    branch = best;
  } while (branch.end === null && budget.spent === null);
  return { branch, blockLogprobs, isJudged };
}

/** The estimate is the sum of best-of-K's over the blocks, each given what stands before it. */
function klOf(
  { blockLogprobs, isJudged }: Grown,
  options: { k: number; blockTokens: number; sampling: TextSampling },
): StrategyResult["kl"] {
  if (!isJudged) return { bound: null, estimate: null };
  const { k, blockTokens, sampling } = options;
  const blocks = Math.ceil(sampling.maxTokens / blockTokens);
  const estimates = blockLogprobs.map((logprob) => bestOfNEstimate(k, logprob));
  return {
    bound: blocks * bestOfNBound(k),
    estimate: drawsFromModel(sampling) ? estimates.reduce((sum, part) => sum + part, 0) : null,
  };
}
