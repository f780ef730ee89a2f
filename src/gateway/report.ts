/** From a search's result to the answer with its report. */
import type { Work } from "../engine/types.ts";
import type { Overshoot } from "../strategies/budget.ts";
import type { StrategyResult } from "../strategies/define.ts";
import { findingsOf } from "./findings.ts";
import type { HoldoutReport } from "./holdout.ts";
import type { Plan } from "./plan.ts";
import type { Answer } from "./types.ts";
import { warningsAbout } from "./warnings.ts";

export interface Spent {
  /** Tokens drawn, whether or not they are a candidate's. */
  readonly tokens: number;
  /** Of the search and of the held-out reward. */
  readonly rewardCalls: number;
  /** Tokens that judges wrote, as far as they say. */
  readonly rewardTokens: number;
  readonly ms: number;
  readonly work: Work;
  /** What the search spent beyond its budget. */
  readonly overshoot: Overshoot;
}

export function answerOf(
  { policy, strategy, reward, prompt, sampling }: Plan,
  { candidates, chosen, kl, stopped, warnings: own, details }: StrategyResult,
  { spent, holdout }: { readonly spent: Spent; readonly holdout: HoldoutReport | null },
): Answer {
  const choices = chosen.map((index) => candidates[index]!);
  const findings = findingsOf(candidates, chosen[0]!, holdout);
  const { rewards, distinct, lengthCorrelation, disagreement } = findings;
  const warnings = warningsAbout(candidates, own, findings);
  const { tokens, rewardCalls, rewardTokens, ms, work, overshoot } = spent;
  return {
    choices,
    promptTokens: prompt.length,
    completionTokens: tokens,
    report: {
      strategy: strategy.name,
      n: candidates.length,
      chosen: chosen[0]!,
      reward: choices[0]!.reward,
      rewardId: reward?.id ?? null,
      ...(rewards && { rewards }),
      candidates,
      distinct,
      lengthCorrelation,
      kl,
      ...(disagreement && { disagreement }),
      ...(holdout && { holdout }),
      cost: { tokens, rewardCalls, rewardTokens, ms },
      overshoot,
      stopped,
      warnings: warnings.map(({ text }) => text),
      warningKinds: warnings.map(({ kind }) => kind),
      ...(details && { details }),
      work,
      revision: { policy: policy.revision, reward: reward?.revision ?? null },
      seed: sampling.seed,
    },
  };
}
