/** `plumbline eval trainers`: what each way of training makes of the same logged candidates, as tables and figures. */
import { join } from "node:path";
import type { Command, OptionValues } from "commander";
import { Type } from "typebox";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import { type Domain, domains } from "../corpus/index.ts";
import {
  evaluateTrainers,
  type TrainerRow,
  type TrainersEvaluation,
  type TrainersListener,
} from "../jobs/trainers/evaluate-trainers.ts";
import { curvesOf, plotsOf, tablesOf } from "../jobs/trainers/report.ts";
import {
  defaultTrials,
  rowsNames,
  type TrainerTrial,
  trainerTrials,
  trialsNamed,
} from "../jobs/trainers/trials.ts";
import { openRuntime } from "../onnx/runtime/index.ts";
import { policyFolder } from "../setup/models.ts";
import { batchProgress } from "./batch-progress.ts";
import { configOf, withSeed, withSettings } from "./options.ts";
import { answers, natural, readYaml } from "./readers.ts";
import { plain } from "./report.ts";
import { judgesOf, servingOf } from "./serving.ts";
import { trainingProgress } from "./training-progress.ts";

export function addTrainers(group: Command): void {
  const command = group
    .command("trainers")
    .description("what each way of training makes of the same logged candidates")
    .requiredOption("--out <folder>", "of candidates, models, tables and figures; goes on there")
    .option("--prompts <count>", "of each domain, to draw candidates for", natural, 100)
    .option("--k <count>", "candidates of a prompt", answers, 8)
    .option("--held-out <count>", "prompts of each domain to judge policies on", natural, 100)
    .option("--samples <count>", "n of the base's best-of-n, the measure of all", answers, 16)
    .option("--domains <name...>", `of ${domains.join(", ")}; without it, all`)
    .option(
      "--methods <name...>",
      `without it, a choice of them; there is ${trainerTrials.map(({ name }) => name).join(", ")}`,
    )
    .option("--trials <file>", "a YAML list of trials instead")
    .option("--memory-bytes-max <bytes>", "that training may need", natural);
  withSettings(withSeed(command)).action(evaluate);
}

/** @throws GatewayError invalid_request for wrong trials or domains; whatever a training or an answer fails with */
async function evaluate(given: OptionValues): Promise<void> {
  const isQuiet = given["json"] === true;
  const config = configOf(given);
  const { prompts, k, heldOut, samples: n, seed, memoryBytesMax = null, out } = given;
  const asked = domainsOf(given["domains"]);
  const options = {
    trials: await trialsOf(given, asked),
    domains: asked,
    policy: policyFolder(config),
    threads: config.threads || null,
    prompts,
    k,
    heldOut,
    n,
    seed,
    memoryBytesMax,
    out,
  };
  const runtime = openRuntime();
  const progress = listening(isQuiet);
  try {
    const { listener } = progress;
    const models = { serve: servingOf(config, {}), openJudges: judgesOf(config) };
    const evaluation = await evaluateTrainers(runtime, models, { options, listener });
    progress.stop();
    await write(out, evaluation);
    console.log(isQuiet ? JSON.stringify(evaluation) : tablesOf(evaluation));
  } finally {
    progress.stop();
    runtime.dispose();
  }
}

/** A bar at a time. */
function listening(isQuiet: boolean): { readonly listener: TrainersListener; stop(): void } {
  const progress = batchProgress({ isQuiet });
  let training = trainingProgress({ isQuiet });
  const stop = () => {
    progress.stop();
    training.stop();
  };
  return {
    stop,
    listener: {
      onProgress: (stage, done, total) => progress.onProgress(stage, done, total),
      training: {
        onStart(plan) {
          training = trainingProgress({ isQuiet });
          training.listener.onStart(plan);
        },
        onReferences: (done, total) => training.listener.onReferences(done, total),
        onStep: (report) => training.listener.onStep(report),
      },
      onRow(row) {
        stop();
        if (!isQuiet) process.stderr.write(`${rowText(row)}\n`);
      },
    },
  };
}

function rowText({ name, all, domains: within }: TrainerRow): string {
  const golds = domains.flatMap((domain) => {
    const figures = within[domain];
    return figures ? [`${domain} ${plain(figures.gold.value)}`] : [];
  });
  const kl = all.kl ? `, KL ${plain(all.kl)}` : "";
  return `${name}: gold of ${golds.join(", of ")}${kl}`;
}

async function write(folder: string, evaluation: TrainersEvaluation): Promise<void> {
  const { curvesSvg, svgOf } = await import("../jobs/plots.ts"); // a second to load, which no other command waits for
  const texts = new Map([
    ["results.json", JSON.stringify(evaluation)],
    ["tables.md", tablesOf(evaluation)],
    ...[...plotsOf(evaluation)].map(([name, plot]) => [name, svgOf(plot)] as const),
    ...[...curvesOf(evaluation)].map(([name, curves]) => [name, curvesSvg(curves)] as const),
  ]);
  for (const [name, text] of texts) await writeFileAtomically(join(folder, name), [text, "\n"]);
}

function domainsOf(names: readonly string[] = domains): Domain[] {
  const asked = names.map((name) => {
    const found = domains.find((each) => each === name);
    if (found) return found;
    const problem = `'${name}' is not one of ${domains.join(", ")}`;
    throw new GatewayError("invalid_request", { param: "--domains", problem });
  });
  return domains.filter((domain) => asked.includes(domain));
}

async function trialsOf(
  { methods, trials }: OptionValues,
  judged: readonly Domain[],
): Promise<readonly TrainerTrial[]> {
  if (trials === undefined && methods === undefined) {
    const isJudged = ({ rows }: TrainerTrial) =>
      typeof rows === "string" || judged.includes(rows.domain);
    return defaultTrials.filter(isJudged);
  }
  if (trials === undefined) return trialsNamed(methods);
  if (methods !== undefined) {
    const problem = "trials come from --methods or from --trials, not from both";
    throw new GatewayError("invalid_request", { param: "--trials", problem });
  }
  return readTrials(trials);
}

const trialsSchema = Type.Array(
  Type.Object(
    {
      name: Type.Optional(Type.String({ minLength: 1 })),
      method: Type.String({ minLength: 1 }),
      options: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
      rows: Type.Union([
        Type.Enum([...rowsNames]),
        Type.Object(
          { domain: Type.Enum([...domains]), prompts: Type.Integer({ minimum: 1 }) },
          { additionalProperties: false },
        ),
      ]),
      shuffled: Type.Optional(Type.Boolean()),
      learning_rate: Type.Number({ exclusiveMinimum: 0 }),
      epochs: Type.Number({ exclusiveMinimum: 0 }),
      batch: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    { additionalProperties: false },
  ),
  { minItems: 1 },
);

async function readTrials(file: string): Promise<TrainerTrial[]> {
  const listed = await readYaml("--trials", file, trialsSchema);
  return listed.map(({ method, name = method, options = {}, rows, epochs, ...rest }) => {
    const { shuffled: isShuffled = false, learning_rate: learningRate, batch = 16 } = rest;
    return { name, method, options, rows, isShuffled, learningRate, epochs, batch };
  });
}
