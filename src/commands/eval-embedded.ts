/** `plumbline eval embedded`: the embedded models on held-out prompts of their corpus. */
import type { Command, OptionValues } from "commander";
import { type EmbeddedEvaluation, evaluateEmbedded } from "../jobs/evaluate-embedded.ts";
import { loadModels } from "../setup/models.ts";
import { configOf, progressBar, withSeed, withSettings } from "./options.ts";
import { natural } from "./readers.ts";
import { percent, plain } from "./report.ts";

export function addEmbedded(group: Command): void {
  const command = group
    .command("embedded")
    .description("the embedded models on held-out prompts of their corpus")
    .option("--prompts <count>", "held-out prompts of each domain", natural, 400)
    .option("--samples <count>", "candidates of each prompt", natural, 16)
    .option("--pairs <count>", "held-out preference pairs", natural, 800);
  withSettings(withSeed(command)).action(evaluate);
}

async function evaluate(options: OptionValues): Promise<void> {
  const { prompts, samples, pairs, seed, json } = options;
  const models = await loadModels(configOf(options));
  const bar = progressBar();
  const evaluation = await evaluateEmbedded({
    policy: models.policy,
    reward: models.reward,
    promptsPerDomain: prompts,
    n: samples,
    pairs,
    seed,
    onProgress: bar.onProgress,
  });
  bar.stop();
  await models.dispose();
  console.log(json ? JSON.stringify(evaluation) : table(evaluation));
}

function table({
  promptsPerDomain,
  n,
  pairs,
  pairAccuracy,
  arithmetic,
  support,
}: EmbeddedEvaluation): string {
  const rows: [string, string][] = [
    [`reward model, right order of ${pairs} pairs`, percent(pairAccuracy)],
    [
      `arithmetic, right answer, one sample (${promptsPerDomain} prompts × ${n})`,
      percent(arithmetic.passAt1),
    ],
    [`arithmetic, right answer, best of ${n} by the reward model`, percent(arithmetic.bestOfN)],
    ["arithmetic, gain in points", percent(arithmetic.gain)],
    [`arithmetic, a right answer among ${n}`, percent(arithmetic.oracle)],
    [
      `support, mean gold reward, one sample (${promptsPerDomain} prompts × ${n})`,
      plain(support.single),
    ],
    [`support, mean gold reward, best of ${n} by the reward model`, plain(support.bestOfN)],
    ["support, standard deviation of one sample's gold reward", support.deviation.toFixed(2)],
    ["support, gain in standard deviations", plain(support.gainInDeviations)],
    [`support, mean gold reward, best of ${n} by gold`, plain(support.oracle)],
  ];
  return ["| measured on held-out prompts | value [95 % interval] |", "| --- | --- |"]
    .concat(rows.map(([name, value]) => `| ${name} | ${value} |`))
    .join("\n");
}
