/**
 * Guidance by a reward: the most likely next tokens are judged as continuations of the answer, and each one's logit gains
 * what the strategy makes of its reward; no other token can be drawn. A candidate without a judgement cannot be drawn
 * either; a step in which none has one fails the request.
 * Cost: one reward call for each candidate of each step. A reward model whose tokens are the policy's keeps its keys
 * and values (`RewardSession.guide`); any other reward is asked for whole texts, and the result says so.
 */
import { assert } from "../base/assert.ts";
import { largest } from "../engine/selection.ts";
import type { Policy } from "../registry/types.ts";
import { judgementOf, type RewardSession, type ScoredAt } from "../rewards/define.ts";
import type { StrategyInput } from "./define.ts";
import { allFailed, demandPrefixes } from "./demands.ts";
import { numberOf, type Verdict, verdictOf } from "./draw.ts";
import type { Guidance, Steering } from "./token-guided.ts";

export interface RewardSteering {
  readonly strategy: string;
  /** Candidates of a step; 0: every token that can be drawn. */
  readonly k: number;
  readonly at: ScoredAt;
  /** What the logit of a candidate gains by its reward. */
  readonly gain: (reward: number) => number;
  /** What there is to be said of all the rewards at the end. */
  readonly warn?: (rewards: RewardCounts) => readonly string[];
  readonly isGreedy?: boolean;
}

/** Of all candidates of an answer. */
export interface RewardCounts {
  judged: number;
  /** Above 1, or below 0. */
  outside: number;
  unjudged: number;
}

/** @throws GatewayError invalid_request for a reward that judges whole answers only. */
export function rewardSteering(input: StrategyInput, steering: RewardSteering): Steering {
  demandPrefixes(steering.strategy, input.reward);
  return {
    isGreedy: steering.isGreedy ?? false,
    async open(session, signal) {
      assert(session !== null, "the reward was not opened");
      const judging = await openJudging(input, session, { at: steering.at, signal });
      return createGuidance(input, steering, judging);
    },
  };
}

function createGuidance(
  { policy, reward, budget, choices }: StrategyInput,
  { k, gain, warn }: RewardSteering,
  judging: Judging,
): Guidance {
  const counts: RewardCounts = { judged: 0, outside: 0, unjudged: 0 };
  const { calls = 1 } = reward ?? {};
  const { vocabSize } = policy.tokenizer; // rows of a model beyond it spell nothing
  let candidates: readonly number[] = [];
  return {
    tokensMax: judging.tokensMax,
    get warnings() {
      const { judged, unjudged } = counts;
      const missing = `${unjudged} of ${judged + unjudged} candidates for a token got no reward and could not be drawn.`;
      return [
        ...(judging.warning === null ? [] : [judging.warning]),
        ...(unjudged > 0 ? [missing] : []),
        ...(warn?.(counts) ?? []),
      ];
    },
    async guide(logits) {
      const wanted = largest(logits, k === 0 ? logits.length : Math.min(k, logits.length));
      candidates = wanted.filter((id) => id < vocabSize && logits[id]! > Number.NEGATIVE_INFINITY);
      if (budget.rewardsLeft < calls * (candidates.length + choices)) return "reward_calls"; // one each is for whole answers
      const judgements = await judging.branch(candidates);
      if (judgements.every(({ reward }) => reward === null)) throw allFailed(judgements);
      const guided = candidates.map((id, i) => {
        const { reward } = judgements[i]!;
        if (reward === null) counts.unjudged += 1;
        else counts.judged += 1;
        if (reward !== null && (reward < 0 || reward > 1)) counts.outside += 1;
        return reward === null ? Number.NEGATIVE_INFINITY : logits[id]! + gain(reward);
      });
      logits.fill(Number.NEGATIVE_INFINITY);
      for (const [i, id] of candidates.entries()) logits[id] = guided[i]!;
      return null;
    },
    accept: (id) => judging.accept(candidates.indexOf(id)),
    close: () => judging.close(),
  };
}

/** The judge of one answer's next tokens. */
interface Judging {
  readonly tokensMax: number;
  readonly warning: string | null;
  branch(ids: readonly number[]): Promise<readonly Verdict[]>;
  accept(index: number): Promise<void>;
  close(): void;
}

async function openJudging(
  { policy, reward }: StrategyInput,
  session: RewardSession,
  { at, signal }: { readonly at: ScoredAt; readonly signal: AbortSignal },
): Promise<Judging> {
  const { tokenizer, endTokens } = policy;
  const guide = (await session.guide?.({ tokenizer, endTokens, at })) ?? null;
  if (guide !== null && !("problem" in guide)) {
    const branch = async (ids: readonly number[]) => (await guide.branch(ids)).map(numberOf);
    return { ...guide, branch };
  }
  const why = guide?.problem ?? "it judges texts";
  const warning = `The reward '${reward!.id}' does not follow the policy's tokens (${why}): each step gives it the whole text of every candidate, as if the answer ended there.`;
  return { ...textJudging(policy, session, signal), warning };
}

/** Every candidate as the text that the answer would be. */
function textJudging(
  { tokenizer, endTokens }: Policy,
  session: RewardSession,
  signal: AbortSignal,
): Omit<Judging, "warning"> {
  const accepted: number[] = [];
  let asked: readonly number[] = [];
  return {
    tokensMax: Number.POSITIVE_INFINITY,
    branch(ids) {
      asked = ids;
      return Promise.all(
        ids.map((id) => {
          const isFinished = endTokens.has(id);
          const text = tokenizer.decode(isFinished ? accepted : [...accepted, id]);
          return verdictOf(judgementOf(session, wholeCharacters(text), { isFinished }), signal);
        }),
      );
    },
    async accept(index) {
      accepted.push(asked[index]!);
    },
    close: () => undefined,
  };
}

/** Without a character at the end of which the bytes are not all there yet. */
const wholeCharacters = (text: string) => text.replace(/\uFFFD+$/u, "");
