/** `plumbline train grpo`, `rloo`, `ppo`, … : a policy learns from answers that it draws itself, and a reward of them. */
import { stat } from "node:fs/promises";
import type { Command, OptionValues } from "commander";
import type { Config } from "../base/config.ts";
import { GatewayError } from "../base/errors.ts";
import { compileOptions } from "../base/options.ts";
import { type Method, onlineMethods } from "../jobs/training/methods.ts";
import type { OnlineSummary } from "../jobs/training/online/finish.ts";
import { type OnlineOptions, unfinishedWays } from "../jobs/training/online/options.ts";
import { trainOnline } from "../jobs/training/online/train-online.ts";
import { openRuntime } from "../onnx/runtime/index.ts";
import type { RewardSpec } from "../rewards/define.ts";
import { rewardKinds } from "../rewards/index.ts";
import type { Loss } from "../train/losses/define.ts";
import { losses } from "../train/losses/index.ts";
import { givenLossOptions, lossOptionsOf, withLossOptions } from "./loss-options.ts";
import { type OptimizationDefaults, optimizationOf, withOptimization } from "./optimization.ts";
import { configOf, withReading, withSettings } from "./options.ts";
import {
  count,
  natural,
  nonNegative,
  number,
  oneOf,
  positive,
  share,
  shareOrAll,
} from "./readers.ts";
import { judgesOf } from "./serving.ts";
import { trainingProgress } from "./training-progress.ts";

export function addOnline(group: Command): void {
  for (const method of onlineMethods) addMethod(group, method);
}

/** TRL's GRPOConfig, RLOOConfig and OnlineDPOConfig: for all weights of models of about a billion parameters. */
const defaults: OptimizationDefaults = {
  batched: "prompts of a rollout",
  epochs: 1,
  learningRate: 1e-6,
  schedule: "constant",
  floor: 0.1,
};

function addMethod(group: Command, method: Method): void {
  const { loss } = method;
  const command = group
    .command(loss.name)
    .description("a policy, from answers that it draws itself to prompts, and a reward")
    .requiredOption("--prompts <source>", "a file, or corpus:<domain>:<count>")
    .requiredOption("--base <folder>", "the checkpoint to start from")
    .requiredOption("--out <folder>", "to be written; new, or of the same command cut short");
  withLossOptions(command, loss);
  if (loss.family === "pair") withPairLoss(command);
  withRollouts(withDrawing(command), loss);
  withOptimization(withEvaluation(command), defaults);
  withSettings(command).action((options: OptionValues) => run(method, options));
}

const withPairLoss = (command: Command): Command =>
  command
    .option(
      "--pair-loss <name>",
      "another loss of pairs",
      oneOf(pairLosses.map(({ name }) => name)),
    )
    .option("--pair-options <json>", "of that loss");

const pairLosses = losses.filter(({ family }) => family === "pair");

function withDrawing(command: Command): Command {
  return withReading(command, "prompts")
    .option(
      "--reward <folder|id|kind|json>",
      "a checkpoint, a configured reward, or a kind with its options; exact-match and numeric-match take each prompt's right answer; without it, the default reward",
    )
    .option("--k <count>", "answers of each prompt", natural, 8)
    .option("--temperature <number>", "of sampling", positive, 1)
    .option("--max-tokens <count>", "of an answer", natural, 160)
    .option(
      "--unfinished <what>",
      `${unfinishedWays.join(", ")}: answers that the limit of tokens has cut count as judged, not at all, or in the baselines alone`,
      oneOf(unfinishedWays),
      "take",
    )
    .option("--unfinished-reward <number>", "of cut answers; without it, as judged", number)
    .option("--seed <number>", "of prompts, samples and training", count, 0);
}

function withRollouts(command: Command, loss: Loss): Command {
  const isCritic = loss.family === "actor-critic";
  command
    .option("--steps <count>", "updates; without it, what the epochs make", natural)
    .option("--minibatch <count>", "prompts of an update; without it, all of the rollout", natural)
    .option("--updates-per-rollout <count>", "without it, as many as use each prompt once", natural)
    .option("--staleness-max <updates>", "age of answers that are still learned from", count, 4)
    .option(
      "--reward-kl <number>",
      "β of a penalty −β·(log π − log π_ref) within the reward",
      nonNegative,
      isCritic ? 0.05 : 0,
    )
    .option(
      "--overlong-buffer <tokens>",
      `before --max-tokens, over which a penalty rises to 1; 0: none${loss.name === "dapo" ? "; without it, a fifth" : ""}`,
      count,
      ...(loss.name === "dapo" ? [] : [0]),
    )
    .option("--importance-level <what>", "token or answer", oneOf(["token", "answer"]), "answer")
    .option(
      "--importance-beyond <what>",
      "truncate or mask ratios above --importance-max",
      oneOf(["truncate", "mask"]),
      "mask",
    )
    .option("--importance-max <ratio>", "of answers of an older policy", positive, 3);
  if (loss.name === "nash-md")
    command.option("--mixture <share>", "η of π^(1−η)·π_ref^η, the opponent", shareOrAll, 0.5);
  if (!isCritic) return command;
  return command
    .option("--gamma <number>", "discount of later rewards", shareOrAll, 1)
    .option("--lambda <number>", "of generalised advantages", shareOrAll, 0.95)
    .option("--no-whiten", "leave advantages in the reward's unit");
}

function withEvaluation(command: Command): Command {
  return command
    .option("--held-out <share>", "of a file's prompts, to evaluate on", share, 0.1)
    .option("--evaluate <count>", "held-out prompts at most; 0: none", count, 100)
    .option(
      "--evaluate-every <steps>",
      "between evaluations; without it, a tenth of the steps",
      natural,
    )
    .option(
      "--patience <evaluations>",
      "without a higher held-out reward, then stop and keep the best; 0: never",
      count,
      0,
    )
    .option("--json", "one JSON object on standard output at the end, for machines");
}

async function run(method: Method, given: OptionValues): Promise<void> {
  const isQuiet = given["json"] === true;
  const config = await configured(given);
  const options = onlineOptions(method, config, given);
  const runtime = openRuntime();
  const progress = trainingProgress({ isQuiet });
  try {
    const parts = { options, listener: progress.listener };
    const summary = await trainOnline(runtime, judgesOf(config), parts);
    progress.stop();
    console.log(isQuiet ? JSON.stringify(summary) : told(summary));
  } finally {
    progress.stop();
    runtime.dispose();
  }
}

/** A reward that is a folder takes the place of the configured one. */
async function configured(given: OptionValues): Promise<Config> {
  const { reward } = given;
  const isFolder = reward !== undefined && (await stat(reward).catch(() => null))?.isDirectory();
  return configOf({ ...given, ...(isFolder && { rewardDir: reward }) });
}

/** @throws GatewayError invalid_request for an option that the loss does not take so */
function onlineOptions(method: Method, config: Config, given: OptionValues): OnlineOptions {
  const { prompts: source, dataFormat: format = null, badRows, seed, maxTokens } = given;
  const { loss, lossOptions } = lossOf(method, given);
  const { importanceLevel: level, importanceBeyond: beyond, importanceMax: ratioMax } = given;
  return {
    ...optimizationOf(given, defaults),
    name: method.loss.name,
    method: { ...method, loss },
    lossOptions,
    prompts: { source, format, badRows, seed },
    heldOut: given["heldOut"],
    evaluate: given["evaluate"],
    reward: rewardOf(config, given["reward"]),
    k: given["k"],
    minibatch: given["minibatch"] ?? null,
    updatesPerRollout: given["updatesPerRollout"] ?? null,
    stalenessMax: given["stalenessMax"],
    importance: { level, beyond, ratioMax },
    temperature: given["temperature"],
    maxTokens,
    contextTokens: config.contextTokens ?? null,
    unfinished: given["unfinished"],
    unfinishedReward: given["unfinishedReward"] ?? null,
    overlongBuffer: given["overlongBuffer"] ?? Math.ceil(maxTokens / 5),
    rewardKl: given["rewardKl"],
    gamma: given["gamma"] ?? 1,
    lambda: given["lambda"] ?? 0.95,
    whitens: given["whiten"] ?? true,
    mixture: given["mixture"] ?? 0.5,
    steps: given["steps"] ?? null,
    seed,
    evaluateEvery: given["evaluateEvery"] ?? null,
    patience: given["patience"],
    base: given["base"],
    out: given["out"],
    threads: config.threads || null,
    sequencesMax: config.sequencesMax,
    cacheBytesMax: config.cacheBytesMax,
  };
}

/** With fixed-length the longest answer is that of the sampling, unless something else is said. */
function lossOf({ loss }: Method, given: OptionValues) {
  const { pairLoss, pairOptions, maxTokens } = given;
  if (pairLoss === undefined) {
    if (pairOptions !== undefined) throw invalid("--pair-options", "there is no --pair-loss");
    const isFixed = "tokens_max" in loss.options.properties && given["tokensMax"] === undefined;
    return {
      loss,
      lossOptions: lossOptionsOf(loss, isFixed ? { ...given, tokensMax: maxTokens } : given),
    };
  }
  const [own] = Object.keys(givenLossOptions(loss, given));
  if (own !== undefined)
    throw invalid(`--${own.replaceAll("_", "-")}`, `it is of ${loss.name}; give --pair-options`);
  const other = pairLosses.find(({ name }) => name === pairLoss)!; // the flag takes no other
  const options = pairOptions === undefined ? {} : parsed("--pair-options", pairOptions);
  return { loss: other, lossOptions: compileOptions(other, "--pair-options")(options) };
}

/** null: the default, or the folder that took its place. */
function rewardOf(
  { rewards, rewardDir }: Config,
  asked: string | undefined,
): string | RewardSpec | null {
  if (asked === undefined || asked === rewardDir) return null;
  if (asked.startsWith("{")) {
    const spec = parsed("--reward", asked);
    if (typeof spec["kind"] !== "string") throw invalid("--reward", "it names no 'kind'");
    return spec as RewardSpec; // just seen
  }
  const isKind = !Object.hasOwn(rewards, asked) && rewardKinds.some(({ name }) => name === asked);
  return isKind ? { kind: asked } : asked;
}

function parsed(param: string, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>; // just seen
  } catch (cause) {
    throw new GatewayError(
      "invalid_request",
      { param, problem: `it is no JSON: ${String(cause)}` },
      { cause },
    );
  }
  throw invalid(param, "it is no JSON object");
}

const invalid = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });

function told({ out, steps, stoppedEarly, keptStep, heldOut }: OnlineSummary): string {
  const early = stoppedEarly ? ", stopped early" : "";
  const numbers = Object.entries(heldOut?.after ?? {})
    .filter(([name]) => name !== "loss")
    .map(
      ([name, value]) =>
        `${name} ${heldOut!.before[name]?.toPrecision(3)} → ${value.toPrecision(3)}`,
    );
  const held = numbers.length > 0 ? `; held out: ${numbers.join(", ")}` : "";
  return `${out}: ${steps} steps${early}; the weights are those of step ${keptStep}${held}`;
}
