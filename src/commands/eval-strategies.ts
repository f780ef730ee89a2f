/** `plumbline eval strategies`: what each strategy makes of the compute it spends, as tables and figures. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Command, OptionValues } from "commander";
import { Type } from "typebox";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { type Domain, domains } from "../corpus/index.ts";
import { bestOfNCurve, type CurvePoint } from "../jobs/best-of-n-curve.ts";
import { evaluateStrategies, type Trial } from "../jobs/evaluate-strategies.ts";
import { plotsOf, type StrategiesEvaluation, tablesOf } from "../jobs/strategies-report.ts";
import { embeddedTrials } from "../jobs/strategy-trials.ts";
import { openGateway } from "../setup/gateway.ts";
import { loadModels } from "../setup/models.ts";
import { configOf, progressBar, withSeed, withSettings } from "./options.ts";
import { count, natural, readYaml } from "./readers.ts";

export function addStrategies(group: Command): void {
  const command = group
    .command("strategies")
    .description("what each strategy makes of the compute it spends, and best-of-N over N")
    .option("--prompts <count>", "held-out prompts of each domain", natural, 100)
    .option("--samples <count>", "largest N of best-of-N; 0 leaves the curve out", count, 256)
    .option("--trials <file>", "a YAML list of what to compare")
    .option("--out <folder>", "for results, tables and figures");
  withSettings(withSeed(command)).action(evaluate);
}

/** @throws GatewayError invalid_request for a wrong list of trials; whatever an answer fails with */
async function evaluate(options: OptionValues): Promise<void> {
  const { prompts, samples, seed, json, trials: file, out } = options;
  const config = configOf(options);
  const named = file === undefined ? null : await readTrials(file);
  const models = await loadModels(config);
  const { policy, reward } = models;
  const { gateway } = await openGateway(config, models, null);
  const trials = named ?? embeddedTrials(reward.id);
  const measured = trials.flatMap((trial) => trial.domains).length * prompts;
  const total = measured + (samples > 0 ? domains.length * prompts : 0);
  const bar = progressBar();
  let done = 0;
  const onProgress = () => bar.onProgress(++done, total);
  const rows = await evaluateStrategies({
    gateway,
    model: policy.id,
    trials,
    promptsPerDomain: prompts,
    seed,
    onProgress,
  });
  const curves = { support: [], arithmetic: [] } as Record<Domain, CurvePoint[]>;
  if (samples > 0) {
    const shared = { policy, reward, prompts, n: samples, seed, onProgress };
    for (const domain of domains) curves[domain] = await bestOfNCurve({ ...shared, domain });
  }
  bar.stop();
  await models.dispose();
  const evaluation = {
    model: policy.id,
    reward: reward.id,
    promptsPerDomain: prompts,
    rows,
    curves,
  };
  if (out !== undefined) await write(out, evaluation);
  console.log(json ? JSON.stringify(evaluation) : tablesOf(evaluation));
}

async function write(folder: string, evaluation: StrategiesEvaluation): Promise<void> {
  const { svgOf } = await import("../jobs/plots.ts"); // a second to load, which no other command waits for
  await mkdir(folder, { recursive: true });
  const texts = new Map([
    ["results.json", JSON.stringify(evaluation)],
    ["tables.md", tablesOf(evaluation)],
    ...[...plotsOf(evaluation)].map(([name, plot]) => [name, svgOf(plot)] as const),
  ]);
  for (const [name, text] of texts) await writeFileAtomically(join(folder, name), [text, "\n"]);
}

const trialsSchema = Type.Array(
  Type.Object(
    {
      name: Type.String({ minLength: 1 }),
      strategy: Type.String({ minLength: 1 }),
      reward: Type.Optional(
        Type.Union([Type.String(), Type.Object({ kind: Type.String() }), Type.Null()]),
      ),
      options: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      domains: Type.Optional(Type.Array(Type.Enum([...domains]), { minItems: 1 })),
    },
    { additionalProperties: false },
  ),
  { minItems: 1 },
);
async function readTrials(file: string): Promise<Trial[]> {
  const listed = await readYaml("--trials", file, trialsSchema);
  return listed.map(({ reward = null, options = {}, domains: where = domains, ...named }) => {
    return { ...named, reward, options, domains: where };
  });
}
