/**
 * Weak-to-strong search: beams of the request's model grow by chunks and are kept by what a small pair of models, one
 * of them tuned, thinks of them: value(y) = log π_tuned(y|x) − log π_base(y|x), nats. W beams have K successors of at
 * most L tokens each; the best W of them, and of the finished ones among the beams, go on until all W have ended. The
 * finished answer of the highest value is returned.
 * W = 1 with L at least the answer's length is best-of-K by the pair's log-ratio.
 * Where the pair has the policy's vocabulary its tokens are judged, else the text as the pair's models would write it.
 * Cost: W·K times the answer's tokens; both small models read each beam anew after each chunk. A reward, when one is
 * named, is asked for finished answers and only reported. Nothing streams as final before the end.
 * Source: Zhou et al., arXiv:2405.19262 (chunk-level beam search; W = 4, K = 4).
 */
import { Type } from "typebox";
import type { Policy } from "../registry/types.ts";
import type { RewardSession } from "../rewards/define.ts";
import { noKl } from "./beam-search.ts";
import { defineStrategy, type StrategyInput } from "./define.ts";
import { demandChoices, promptOf, refusal } from "./demands.ts";
import {
  asking,
  type Branch,
  byValue,
  type Segments,
  sayAnswers,
  searchSegments,
} from "./segments.ts";

export const weakToStrong = defineStrategy({
  name: "weak-to-strong",
  description: "Beam search by the log-ratio of a small tuned model and its base.",
  needsReward: false,
  options: Type.Object({
    tuned: Type.String({ default: "", description: "id of the small model that was tuned" }),
    base: Type.String({ default: "", description: "id of the model that it was tuned from" }),
    beams: Type.Integer({ minimum: 1, maximum: 64, default: 4, description: "W" }),
    successors: Type.Integer({ minimum: 1, maximum: 64, default: 4, description: "K, of each" }),
    chunk_tokens: Type.Integer({ minimum: 1, default: 10, description: "L" }),
  }),
  async *run(input, { tuned, base, beams, successors, chunk_tokens: chunkTokens }) {
    demandChoices("weak-to-strong", input.choices, beams, "beams");
    const models = { tuned: modelOf(input, "tuned", tuned), base: modelOf(input, "base", base) };
    const open = (signal: AbortSignal) => input.reward?.open(input.rewardPrompt, signal) ?? null;
    const search = async (segments: Segments, session: RewardSession | null) => {
      const value = logRatio({ ...input, signal: segments.signal }, models);
      const parts = { segments, value, session, budget: input.budget };
      const ranked = await growChunks(parts, { beams, successors, chunkTokens });
      return { ranked, candidates: segments.close("budget") };
    };
    const { ranked, candidates } = yield* searchSegments(input, open, search);
    const chosen = ranked.slice(0, input.choices).map(({ index }) => index!);
    yield* sayAnswers(candidates, chosen);
    const isWhole = candidates.every(({ cut }) => cut !== "budget");
    const stopped = isWhole ? "complete" : input.budget.spent!;
    yield { type: "done", result: { candidates, chosen, kl: noKl, stopped, warnings: [] } };
  },
});

function modelOf({ models }: StrategyInput, option: "tuned" | "base", id: string): Policy {
  if (id !== "") return models.policy(id);
  throw refusal(option, "weak-to-strong needs a pair of small models; name one that is served");
}

interface Parts {
  readonly segments: Segments;
  readonly value: (branch: Branch) => Promise<number>;
  readonly session: RewardSession | null;
  readonly budget: StrategyInput["budget"];
}

interface Sizes {
  readonly beams: number;
  readonly successors: number;
  readonly chunkTokens: number;
}

/** @returns all finished answers, best first, then the unfinished ones that a spent budget left. */
async function growChunks(parts: Parts, sizes: Sizes): Promise<Branch[]> {
  const { segments, budget } = parts;
  const { beams, successors, chunkTokens: tokensMax } = sizes;
  const ended: Branch[] = [];
  let kept: readonly Branch[] = [segments.root()];
  do {
    const live = kept.filter(({ end }) => end === null);
    const k = ended.length === 0 && live[0]!.index === null ? beams * successors : successors;
    const grown = await segments.all(live.map((from) => segments.extend(from, k, { tokensMax })));
    const valued = await segments.all(grown.flat().map((branch) => appraise(branch, parts)));
    ended.push(...valued.filter(({ end }) => end !== null));
    const open = valued.filter(({ end }) => end === null);
    if (budget.spent !== null) return [...byValue(ended), ...byValue(open)];
    kept = byValue([...kept.filter(({ end }) => end !== null), ...valued]).slice(0, beams);
    segments.reject(open.filter((branch) => !kept.includes(branch)));
  } while (kept.some(({ end }) => end === null));
  return byValue(ended);
}

async function appraise(branch: Branch, { segments, value, session }: Parts): Promise<Branch> {
  const isReported = session !== null && branch.end !== null;
  const judged = isReported ? await segments.judge(branch, asking(session)) : branch;
  return segments.replace({ ...judged, value: await value(branch) });
}

/** log π_tuned − log π_base of a branch, in nats; its end of turn counts once it has ended. */
function logRatio(
  input: StrategyInput,
  { tuned, base }: { tuned: Policy; base: Policy },
): (branch: Branch) => Promise<number> {
  const [ofTuned, ofBase] = [reader(tuned, input), reader(base, input)];
  return async (branch) => {
    const [likely, before] = await Promise.all([ofTuned(branch), ofBase(branch)]);
    return likely - before;
  };
}

/** Σ log π of a branch's tokens, by a model of perhaps another vocabulary and chat template. */
function reader(model: Policy, input: StrategyInput): (branch: Branch) => Promise<number> {
  const { policy, prompt, signal } = input;
  const isAlike = model.tokenizer.hasTokensOf(policy.tokenizer);
  const question = isAlike ? prompt : promptOf(model, input);
  return async ({ tokens, text, end }) => {
    const answer = isAlike ? tokens.map(({ id }) => id) : model.encodeAnswer(text, end === "stop");
    if (answer.length === 0) return 0;
    const logprobs = await model.score(question, answer, signal);
    return logprobs.reduce((sum, logprob) => sum + logprob, 0);
  };
}
