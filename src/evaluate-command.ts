/** `plumbline eval …`: runs an evaluation with a progress bar and prints it. */
import type { OptionValues } from "commander";
import { loadConfig } from "./base/config.ts";
import { GatewayError } from "./base/errors.ts";
import { percent, plain, progressBar } from "./evaluation-report.ts";
import { formatsCommand } from "./formats-command.ts";
import { type EmbeddedEvaluation, evaluateEmbedded } from "./jobs/evaluate-embedded.ts";
import { loadModels } from "./models.ts";
import { prefixCommand } from "./prefix-command.ts";
import { strategiesCommand } from "./strategies-command.ts";

export async function evaluateCommand(what: string, options: OptionValues): Promise<void> {
  switch (what) {
    case "embedded":
      return embeddedCommand(options);
    case "formats":
      return formatsCommand({ ...options, seed: count("seed", options["seed"]) });
    case "prefix":
      return prefixCommand({
        ...options,
        prompts: count("prompts", options["prompts"]),
        samples: count("samples", options["samples"]),
        seed: count("seed", options["seed"]),
      });
    case "strategies": {
      const {
        prompts,
        samples,
        seed,
        json,
        trials,
        out,
        pairs: _p,
        text: _t,
        reward: _r,
        ...flags
      } = options;
      return strategiesCommand(
        {
          prompts: count("prompts", prompts),
          samples: count("samples", samples),
          seed: count("seed", seed),
          json,
          trials,
          out,
        },
        loadConfig({ flags }),
      );
    }
    default: {
      const problem = `'${what}' is none of 'embedded', 'formats', 'prefix' and 'strategies'`;
      throw new GatewayError("invalid_request", { param: "what", problem });
    }
  }
}

async function embeddedCommand(options: OptionValues): Promise<void> {
  const { prompts, samples, pairs, seed, json, text: _, reward: _r, ...flags } = options;
  const models = await loadModels(loadConfig({ flags }));
  const bar = progressBar();
  const evaluation = await evaluateEmbedded({
    policy: models.policy,
    reward: models.reward,
    promptsPerDomain: count("prompts", prompts),
    n: count("samples", samples),
    pairs: count("pairs", pairs),
    seed: count("seed", seed),
    onProgress: bar.onProgress,
  });
  bar.stop();
  await models.dispose();
  console.log(json ? JSON.stringify(evaluation) : table(evaluation));
}

function count(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw new GatewayError("invalid_request", {
    param: `--${name}`,
    problem: `'${text}' is not a positive integer`,
  });
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
