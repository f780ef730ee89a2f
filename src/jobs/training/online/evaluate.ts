/** What a policy is worth, in numbers: rewards, and of the embedded corpus what is right. */
import { goldReward } from "../../../corpus/index.ts";
import type { DrawnGroup } from "./draw.ts";
import type { ReadPrompt } from "./prompts.ts";

interface Judged {
  readonly prompt: ReadPrompt;
  readonly text: string;
  readonly tokens: number;
  readonly reward: number | null;
  readonly isFinished: boolean;
}

/**
 * Means over answers: `reward` of those that were judged, `gold` and `accuracy` of the corpus', `length` in tokens,
 * `finished` and `unjudged` as shares. What is not there is left out.
 */
export function worthOf(answers: readonly Judged[]): Record<string, number> {
  const rewards = answers.flatMap(({ reward }) => (reward === null ? [] : [reward]));
  const golds = answers.flatMap(({ prompt: { corpus }, text }) =>
    corpus ? [goldReward(corpus, text)] : [],
  );
  const unjudged = 1 - rewards.length / answers.length;
  return {
    ...(rewards.length > 0 && { reward: mean(rewards) }),
    ...(unjudged > 0 && { unjudged }),
    ...(golds.length > 0 && {
      gold: mean(golds.map(({ total }) => total)),
      accuracy: mean(golds.map(({ correct }) => Number(correct))),
    }),
    length: mean(answers.map(({ tokens }) => tokens)),
    finished: mean(answers.map(({ isFinished }) => Number(isFinished))),
  };
}

/**
 * Of a rollout; `no_spread`: the share of prompts whose answers are all worth the same; `negative_logp`: mean over
 * tokens of −log π at sampling, an estimate of the entropy of a token's law, nats.
 */
export function rolloutMetrics(
  groups: readonly DrawnGroup[],
  hasSpread: (group: DrawnGroup) => boolean,
): Record<string, number> {
  const answers = groups.flatMap(({ prompt, answers: own }) =>
    own.map(({ text, tokens, reward, isFinished }) => ({
      prompt,
      text,
      tokens: tokens.length,
      reward,
      isFinished,
    })),
  );
  const logps = groups.flatMap((group) => group.answers.flatMap((answer) => [...answer.logps]));
  return {
    ...worthOf(answers),
    negative_logp: -mean(logps),
    no_spread: mean(groups.map((each) => Number(!hasSpread(each)))),
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
