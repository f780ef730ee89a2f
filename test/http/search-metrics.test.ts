/** What reports add to the metrics. */
import { expect, onTestFinished, test } from "vitest";
import { createMetrics } from "../../src/base/metrics.ts";
import type { AnswerReport } from "../../src/gateway/types.ts";
import { countSearch } from "../../src/http/search-metrics.ts";
import type { ScoredCandidate } from "../../src/strategies/define.ts";

const candidate = (index: number, cut: ScoredCandidate["cut"]): ScoredCandidate => ({
  index,
  text: "",
  tokens: [],
  logprob: 0,
  finishReason: "stop",
  reward: index,
  rewardProblem: null,
  cut,
});

/** Rewards 0, 2, 4: the chosen one is a deviation above the mean, and half of one below it by the held-out reward. */
const report: AnswerReport = {
  strategy: "speculative-rejection",
  n: 5,
  chosen: 2,
  reward: 4,
  rewardId: "judge",
  rewards: { n: 3, mean: 2, deviation: 2, min: 0, max: 4 },
  candidates: [null, null, null, "rejected", "rejected"].map((cut, i) =>
    candidate(i, cut as ScoredCandidate["cut"]),
  ),
  distinct: { texts: 3, of: 4 },
  lengthCorrelation: null,
  kl: { bound: 1.4, estimate: null },
  disagreement: { deviation: 0.3, correlation: 0.1, dissenting: [] },
  holdout: {
    reward: "other",
    revision: "1",
    scores: new Map(),
    spread: { n: 3, mean: 10, deviation: 4, min: 6, max: 14 },
    chosen: 8,
    problems: [],
  },
  cost: { tokens: 50, rewardCalls: 9, rewardTokens: 0, ms: 1500 },
  overshoot: { tokens: 2, rewardCalls: 0, ms: 0.5 },
  stopped: "tokens",
  warnings: ["a", "b", "c"],
  warningKinds: ["strategy", "holdout", "holdout"],
  work: { promptTokensFound: 0, tokensRun: 0, modelMs: 0 },
  revision: { policy: "p", reward: "r" },
  seed: 1,
};

async function linesAfter(...reports: readonly AnswerReport[]): Promise<readonly string[]> {
  const metrics = createMetrics();
  onTestFinished(() => void metrics.close());
  for (const each of reports) countSearch(metrics, each);
  return (await metrics.text()).split("\n");
}

test("a search adds what its report says", async () => {
  const strategy = 'strategy="speculative-rejection"';
  expect(await linesAfter(report)).toEqual(
    expect.arrayContaining([
      `plumbline_searches_total{${strategy},stopped="tokens"} 1`,
      `plumbline_search_seconds_sum{${strategy}} 1.5`,
      `plumbline_candidates_cut_total{${strategy},reason="rejected"} 2`,
      `plumbline_kl_nats_sum{${strategy},figure="bound"} 1.4`,
      'plumbline_chosen_reward_sum{reward="judge"} 4',
      'plumbline_reward_deviation_sum{reward="judge"} 2',
      `plumbline_reward_gain_sum{${strategy}} 1`,
      `plumbline_holdout_gain_sum{${strategy}} -0.5`,
      `plumbline_reward_disagreement_sum{${strategy}} 0.3`,
      `plumbline_duplicates_ratio_sum{${strategy}} 0.25`,
      'plumbline_warnings_total{kind="strategy"} 1',
      'plumbline_warnings_total{kind="holdout"} 2',
      'plumbline_budget_overshoot_total{part="tokens"} 2',
      'plumbline_budget_overshoot_total{part="reward_calls"} 0',
      'plumbline_budget_overshoot_total{part="ms"} 0.5',
    ]),
  );
});

test("what a search does not have is not measured", async () => {
  const { rewards: _, holdout: __, disagreement: ___, ...rest } = report;
  const plain: AnswerReport = {
    ...rest,
    reward: null,
    rewardId: null,
    kl: { bound: null, estimate: null },
    distinct: { texts: 1, of: 1 },
  };
  const alike: AnswerReport = {
    ...plain,
    reward: 1,
    rewards: { n: 3, mean: 1, deviation: 0, min: 1, max: 1 },
  };
  const lines = await linesAfter(plain, alike);
  const measured = /_(kl_nats|chosen_reward|reward_deviation|\w+_gain|disagreement|ratio)_count\{/;
  expect(lines.filter((line) => measured.test(line))).toEqual([]);
});
