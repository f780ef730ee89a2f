/**
 * A preference model's judgement: it reads the conversation with both answers behind it, and its scalar head at the last
 * token is the logit of P(first ≻ second). Read in both orders: preference = ½[σ(s(a, b)) + 1 − σ(s(b, a))], so that
 * compare(a, b) + compare(b, a) = 1. It has no number for an answer alone, and preferences may go in circles.
 * Unit: a probability. Cost: two runs over prompt and both answers, the prompt once a session.
 * Failure: answer_too_long; reward_compares_only where a score is wanted.
 * Source: Munos et al., arXiv:2312.00886, section 3; both orders: Jiang et al., arXiv:2306.02561, section 3.
 */
import { GatewayError } from "../base/errors.ts";
import type { Scorer } from "../engine/types.ts";
import type { ChatFormat } from "../text/chat-answers.ts";
import { encodeComparison } from "../text/chat-comparison.ts";
import type { ComparisonSession, PairwiseReward } from "./define.ts";
import { refuseTooLong } from "./reward-model.ts";

export interface PreferenceModelParts {
  readonly id: string;
  readonly scorer: Scorer;
  readonly format: ChatFormat;
  /** Tokens that end an answer. */
  readonly endIds: readonly number[];
}

export function createPreferenceModel({
  id,
  scorer,
  format,
  endIds,
}: PreferenceModelParts): PairwiseReward {
  return {
    id,
    revision: scorer.revision,
    acceptsPrefixes: false,
    range: [0, 1],
    comparesPairs: true,
    scoresAlone: false,
    open({ messages }, signal): ComparisonSession {
      const encode = (...answers: string[]) => encodeComparison(format, messages, answers, endIds);
      const { prompt, separator } = encode();
      const session = scorer.open(prompt, signal);
      const firstIsBetter = async (first: readonly number[], second: readonly number[]) => {
        const both = [...first, ...separator, ...second];
        refuseTooLong(id, prompt.length + both.length, scorer.contextTokens);
        return sigmoid(await session.score(both, 0));
      };
      return {
        async compare(a, b) {
          const [turnA, turnB] = encode(a, b).turns as [number[], number[]]; // one for each answer
          const [ab, ba] = await Promise.all([
            firstIsBetter(turnA, turnB),
            firstIsBetter(turnB, turnA),
          ]);
          return (ab + 1 - ba) / 2;
        },
        async score() {
          throw new GatewayError("reward_compares_only", { reward: id });
        },
        close: () => session.close(),
      };
    },
  };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
