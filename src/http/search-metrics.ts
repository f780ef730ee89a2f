/** What an answer's report adds to the metrics of searches. */
import type { Metrics } from "../base/metrics.ts";
import type { Spread } from "../base/statistics.ts";
import type { AnswerReport } from "../gateway/types.ts";

export function countSearch(metrics: Metrics, report: AnswerReport): void {
  const { strategy, stopped, cost, candidates, warningKinds, overshoot } = report;
  metrics.searches.inc({ strategy, stopped });
  metrics.searchSeconds.observe({ strategy }, cost.ms / 1_000);
  for (const { cut: reason } of candidates) {
    if (reason !== null) metrics.cuts.inc({ strategy, reason });
  }
  for (const kind of warningKinds) metrics.warnings.inc({ kind });
  metrics.budgetOvershoot.inc({ part: "tokens" }, overshoot.tokens);
  metrics.budgetOvershoot.inc({ part: "reward_calls" }, overshoot.rewardCalls);
  metrics.budgetOvershoot.inc({ part: "ms" }, overshoot.ms);
  measure(metrics, report);
}

/** What only some searches have. */
function measure(metrics: Metrics, report: AnswerReport): void {
  const { strategy, kl, reward, rewardId, rewards, holdout, disagreement, distinct } = report;
  if (kl.bound !== null) metrics.kl.observe({ strategy, figure: "bound" }, kl.bound);
  if (kl.estimate !== null) metrics.kl.observe({ strategy, figure: "estimate" }, kl.estimate);
  if (rewardId !== null && reward !== null) {
    metrics.chosenReward.observe({ reward: rewardId }, reward);
  }
  if (rewardId !== null && rewards && rewards.deviation !== null) {
    metrics.rewardDeviation.observe({ reward: rewardId }, rewards.deviation);
  }
  const gain = gainOf(reward, rewards ?? null);
  if (gain !== null) metrics.rewardGain.observe({ strategy }, gain);
  const held = holdout ? gainOf(holdout.chosen, holdout.spread) : null;
  if (held !== null) metrics.holdoutGain.observe({ strategy }, held);
  if (disagreement) metrics.disagreement.observe({ strategy }, disagreement.deviation);
  if (distinct.of > 1) metrics.duplicates.observe({ strategy }, 1 - distinct.texts / distinct.of);
}

/** How far the chosen one is above the mean, in deviations; null where all are alike, or there are not two. */
function gainOf(chosen: number | null, spread: Spread | null): number | null {
  if (chosen === null || !spread?.deviation) return null;
  return (chosen - spread.mean) / spread.deviation;
}
