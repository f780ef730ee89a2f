/** A policy as a reward sees it, that says given texts in turn; a token is a character. */
import type { Speaker } from "../../src/rewards/define.ts";

export interface CannedSpeaker extends Speaker {
  /** Seeds it was asked to answer with. */
  readonly seeds: readonly number[];
  /** Of every answer it was asked for. */
  readonly signals: readonly AbortSignal[];
}

/** @param answers none: it never answers, until it is stopped. */
export function cannedSpeaker(answers: readonly string[], id = "policy"): CannedSpeaker {
  const seeds: number[] = [];
  const signals: AbortSignal[] = [];
  return {
    id,
    revision: `${id}-1`,
    seeds,
    signals,
    answer(_messages, { seed }, signal) {
      const answer = answers[seeds.length % answers.length];
      seeds.push(seed);
      signals.push(signal);
      if (answer !== undefined) {
        return Promise.resolve({ text: answer, tokens: Array.from(answer).length });
      }
      return new Promise((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error)); // an AbortError
      });
    },
    countTokens: (answer) => Array.from(answer).length,
    logprobs: async (_messages, answer) => new Float32Array(Array.from(answer).length).fill(-1),
  };
}
