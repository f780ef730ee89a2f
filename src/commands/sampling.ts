/** What commands that sample through the gateway share: their flags, the models that they serve, a line of what came of it. */
import { stat } from "node:fs/promises";
import type { Command, OptionValues } from "commander";
import type { Config } from "../base/config.ts";
import type {
  HeldOutReport,
  IterationReport,
  IterationsSummary,
} from "../jobs/batch/iterations.ts";
import type { Serve } from "../jobs/batch/serve.ts";
import type { TrainingListener } from "../jobs/training/train.ts";
import type { Runtime } from "../onnx/runtime/index.ts";
import { openRuntime } from "../onnx/runtime/index.ts";
import { policyFolder } from "../setup/models.ts";
import { batchProgress } from "./batch-progress.ts";
import { type OptimizationDefaults, optimizationOf } from "./optimization.ts";
import { configOf, withReading } from "./options.ts";
import { count, natural, nonNegative, oneOf, share, shareOrAll } from "./readers.ts";
import { plain } from "./report.ts";
import { servingOf } from "./serving.ts";
import { trainingProgress } from "./training-progress.ts";

export function withSampling(command: Command): Command {
  return withReading(command, "prompts")
    .requiredOption("--out <folder>", "to be written; new, or of the same command cut short")
    .option("--policy <folder>", "the checkpoint that answers; without it, the configured policy")
    .option("--reward <folder|id>", "a checkpoint, or a configured reward; without it, the default")
    .option("--temperature <number>", "of sampling", nonNegative, 1)
    .option("--top-p <share>", "of sampling", shareOrAll, 1)
    .option("--max-tokens <count>", "of an answer", natural, 160)
    .option("--unfinished <what>", "take or drop cut answers", oneOf(["take", "drop"]), "drop")
    .option("--seed <number>", "of prompts, samples and training", count, 0)
    .option("--json", "one JSON object on standard output at the end, for machines");
}

export function withIterations(command: Command): Command {
  return command
    .option("--iterations <count>", "of sampling and training, at most", natural, 3)
    .option(
      "--iteration-prompts <count>",
      "a slice of the prompts for each iteration, one after the other; without it, all for each",
      natural,
    )
    .option(
      "--patience <iterations>",
      "without a higher held-out reward, then stop; 0: never",
      count,
      0,
    )
    .option("--held-out <share>", "of a file's prompts, to evaluate on", share, 0.1)
    .option("--evaluate <count>", "held-out prompts at most; 0: none", count, 200);
}

/** Runs iterations with a bar for each stage, and says what came of each. */
export async function runIterations<M>(
  options: OptionValues,
  act: (parts: Iterated<M>) => Promise<IterationsSummary<M>>,
  madeText: (made: M) => string,
): Promise<void> {
  const isQuiet = options["json"] === true;
  const progress = batchProgress({ isQuiet });
  const config = await configured(options);
  const runtime = openRuntime();
  let training = trainingProgress({ isQuiet });
  const listener = {
    onProgress: (stage: string, done: number, total: number) =>
      progress.onProgress(stage, done, total),
    training: {
      onStart: (plan: Parameters<TrainingListener["onStart"]>[0]) => {
        training.stop();
        training = trainingProgress({ isQuiet });
        training.listener.onStart(plan);
      },
      onReferences: (done: number, total: number) => training.listener.onReferences(done, total),
      onStep: (report: Parameters<TrainingListener["onStep"]>[0]) =>
        training.listener.onStep(report),
    },
    onIteration(report: IterationReport<M>) {
      training.stop();
      if (!isQuiet) process.stderr.write(`${iterationText(report, madeText)}\n`);
    },
  };
  try {
    const summary = await act({ runtime, config, serve: servingOf(config, options), listener });
    console.log(isQuiet ? JSON.stringify(summary) : iterationsText(summary, madeText));
  } finally {
    progress.stop();
    training.stop();
    runtime.dispose();
  }
}

export interface Iterated<M> {
  readonly runtime: Runtime;
  readonly config: Config;
  readonly serve: Serve;
  readonly listener: {
    onProgress(stage: string, done: number, total: number): void;
    readonly training: TrainingListener;
    onIteration(report: IterationReport<M>): void;
  };
}

/** @param prompts their source. */
export function sharedOf(given: OptionValues, prompts: string) {
  const { dataFormat = null, badRows, seed, out, temperature, topP, maxTokens } = given;
  return {
    prompts: { source: prompts, format: dataFormat, badRows, seed },
    out,
    temperature,
    topP,
    maxTokens,
    seed,
    takesUnfinished: given["unfinished"] === "take",
  };
}

/** What iterations are asked for, but of their own kind. */
export function iterationsOf(config: Config, given: OptionValues, defaults: OptimizationDefaults) {
  const { iterations, iterationPrompts = null, patience, heldOut, evaluate } = given;
  return {
    iterations,
    iterationPrompts,
    patience,
    heldOut,
    evaluate,
    policy: policyFolder(config),
    training: {
      ...optimizationOf(given, defaults),
      steps: null,
      evaluateEvery: null,
      patience: 0,
      threads: config.threads || null,
      contextTokens: config.contextTokens ?? null,
    },
  };
}

/** A reward that is no folder is an id. */
export async function configured(options: OptionValues): Promise<Config> {
  const { policy, reward } = options;
  const isFolder = reward !== undefined && (await stat(reward).catch(() => null))?.isDirectory();
  return configOf({
    ...options,
    ...(policy !== undefined && { policyDir: policy }),
    ...(isFolder && { rewardDir: reward }),
  });
}

export const figure = (value: number | null) => (value === null ? "–" : value.toFixed(3));

function iterationText<M>(
  { iteration, heldOut, made }: IterationReport<M>,
  madeText: (made: M) => string,
): string {
  const how = made ? `; ${madeText(made)}` : "";
  return `iteration ${iteration}${heldOut ? `: ${heldOutText(heldOut)}` : ""}${how}`;
}

function heldOutText({ reward, gold, accuracy }: HeldOutReport): string {
  const known = gold && accuracy ? `, gold ${plain(gold)}, right ${plain(accuracy)}` : "";
  return `held-out reward ${plain(reward)}${known}`;
}

function iterationsText<M>(
  { iterations, best }: IterationsSummary<M>,
  madeText: (made: M) => string,
): string {
  const lines = iterations.map((each) => iterationText(each, madeText));
  const { policy } = iterations.find(({ iteration }) => iteration === best)!;
  return [...lines, `The best policy is that of iteration ${best}: ${policy}`].join("\n");
}
