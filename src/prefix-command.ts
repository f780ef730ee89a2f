/** `plumbline eval prefix`: whether a reward's numbers for unfinished answers say which finished one will be good. */
import type { OptionValues } from "commander";
import { systemClock } from "./base/clock.ts";
import { loadConfig } from "./base/config.ts";
import { GatewayError } from "./base/errors.ts";
import { percent, plain, progressBar } from "./evaluation-report.ts";
import { evaluatePrefix, type PrefixEvaluation, type PrefixRow } from "./jobs/evaluate-prefix.ts";
import { loadModels, type Models } from "./models.ts";
import { createRewards } from "./registry/rewards.ts";
import { createSpeaker } from "./registry/speaker.ts";

/** @throws GatewayError reward_not_found, invalid_request with fewer than two samples */
export async function prefixCommand(options: OptionValues): Promise<void> {
  const { prompts, samples, pairs: _p, text: _t, seed, json, reward, ...flags } = options;
  if (samples < 2) {
    const problem = "one answer has none to be compared with; draw 2 or more";
    throw new GatewayError("invalid_request", { param: "--samples", problem });
  }
  const config = loadConfig({ flags });
  const models = await loadModels(config);
  const bar = progressBar();
  const evaluation = await evaluatePrefix({
    policy: models.policy,
    reward: rewardsOf(models, config.rewards).get(reward ?? models.reward.id),
    promptsPerDomain: prompts,
    n: samples,
    seed,
    onProgress: bar.onProgress,
  });
  bar.stop();
  await models.dispose();
  console.log(json ? JSON.stringify(evaluation) : table(evaluation));
}

function rewardsOf(
  { policies, reward }: Models,
  configured: Parameters<typeof createRewards>[0]["configured"],
) {
  return createRewards({
    loaded: [reward],
    configured,
    speaker(id) {
      const policy = policies.find((each) => each.id === id);
      if (policy) return createSpeaker(policy);
      throw new GatewayError("model_not_found", {
        model: id,
        known: policies.map((each) => each.id),
      });
    },
    clock: systemClock,
  });
}

function table({ reward, promptsPerDomain, n, rows }: PrefixEvaluation): string {
  return [
    `${reward}: ${promptsPerDomain} held-out prompts of each domain × ${n} answers`,
    "",
    "| domain | cut | tokens kept | rank correlation with the whole's reward | best prefix becomes best answer | by chance | prompts left out |",
    "| --- | --- | --- | --- | --- | --- | --- |",
    ...rows.map(rowText),
  ].join("\n");
}

function rowText({ domain, cut, share, fidelity, promptsWithoutOrder }: PrefixRow): string {
  const cells =
    fidelity === null
      ? ["-", "-", "-"]
      : [plain(fidelity.correlation), percent(fidelity.agreement), percent(fidelity.chance)];
  return `| ${[domain, cut, `${100 * share} %`, ...cells, promptsWithoutOrder].join(" | ")} |`;
}
