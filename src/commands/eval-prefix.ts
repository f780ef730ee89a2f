/** `plumbline eval prefix`: whether a reward's numbers for unfinished answers say which finished one will be good. */
import type { Command, OptionValues } from "commander";
import { GatewayError } from "../base/errors.ts";
import { evaluatePrefix, type PrefixEvaluation, type PrefixRow } from "../jobs/evaluate-prefix.ts";
import { loadModels } from "../setup/models.ts";
import { openRegistry } from "../setup/registry.ts";
import { configOf, progressBar, withSeed, withSettings } from "./options.ts";
import { natural } from "./readers.ts";
import { percent, plain } from "./report.ts";

export function addPrefix(group: Command): void {
  const command = group
    .command("prefix")
    .description("whether a reward's numbers for unfinished answers say which will be good")
    .option("--reward <id>", "a served reward; without it, the reward model")
    .option("--prompts <count>", "held-out prompts of each domain", natural, 400)
    .option("--samples <count>", "candidates of each prompt", natural, 16);
  withSettings(withSeed(command)).action(evaluate);
}

/** @throws GatewayError reward_not_found, invalid_request with fewer than two samples */
async function evaluate(options: OptionValues): Promise<void> {
  const { prompts, samples, seed, json, reward } = options;
  if (samples < 2) {
    const problem = "one answer has none to be compared with; draw 2 or more";
    throw new GatewayError("invalid_request", { param: "--samples", problem });
  }
  const config = configOf(options);
  const models = await loadModels(config);
  const { registry } = await openRegistry(config, models);
  const bar = progressBar();
  const evaluation = await evaluatePrefix({
    policy: models.policy,
    reward: registry.reward(reward ?? models.reward.id),
    promptsPerDomain: prompts,
    n: samples,
    seed,
    onProgress: bar.onProgress,
  });
  bar.stop();
  await models.dispose();
  console.log(json ? JSON.stringify(evaluation) : table(evaluation));
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
