/** Flags of every training: how it steps, which of the weights it changes, what it may need. */
import type { Command, OptionValues } from "commander";
import { GatewayError } from "../base/errors.ts";
import { type LoraSettings, loraModules } from "../checkpoints/adapter.ts";
import { dtypes, type ScheduleName, schedules } from "../jobs/training/options.ts";
import { natural, nonNegative, oneOf, positive, share } from "./readers.ts";

export interface OptimizationDefaults {
  /** Of what a step takes so many; "examples of a step" unless said. */
  readonly batched?: string;
  readonly epochs: number;
  /** Of all weights. */
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  readonly floor: number;
}

/** What an adapter's learning rate is over that of all weights. Source: Schulman et al. 2025, "LoRA without regret". */
const LORA_RATE = 10;
/** TRL's. */
const LORA_RANK = 16;
const LORA_ALPHA = 32;

export function withOptimization(command: Command, defaults: OptimizationDefaults): Command {
  const { epochs, learningRate, schedule, floor, batched = "examples of a step" } = defaults;
  return withLora(command)
    .option("--epochs <number>", "times that every example is seen", positive, epochs)
    .option("--batch <count>", batched, natural, 16)
    .option(
      "--pass-tokens <count>",
      "tokens computed at once; a step of more takes several passes",
      natural,
      2048,
    )
    .option(
      "--learning-rate <number>",
      `at its peak; without it, ${learningRate}, and ${LORA_RATE} times that with --lora`,
      positive,
    )
    .option("--schedule <name>", schedules.join(", "), oneOf(schedules), schedule)
    .option("--warmup <number>", "steps, or below 1 a share of them", nonNegative, 0.05)
    .option("--floor <share>", "of the learning rate, to which the schedule falls", share, floor)
    .option("--weight-decay <number>", "of matrices, decoupled", nonNegative, 0)
    .option("--clip-norm <number>", "of all gradients together; 0: none", nonNegative, 1)
    .option("--adam-beta1 <number>", "of the first moments", share, 0.9)
    .option("--adam-beta2 <number>", "of the second moments", share, 0.999)
    .option("--checkpoint-every <steps>", "between saved states", natural, 50)
    .option(
      "--dtype <name>",
      `of the written weights: ${dtypes.join(", ")}`,
      oneOf(dtypes),
      "float32",
    )
    .option(
      "--memory-bytes-max <bytes>",
      "that training may need; without it, what is free less a reserve",
      natural,
    );
}

function withLora(command: Command): Command {
  return command
    .option("--lora", "train low-rank matrices beside the base's, and write them as an adapter")
    .option("--lora-rank <count>", `of the matrices; without it, ${LORA_RANK}`, natural)
    .option(
      "--lora-alpha <number>",
      `their product is multiplied by this over the rank; without it, ${LORA_ALPHA}`,
      positive,
    )
    .option("--lora-modules <name...>", `beside which; without it, all: ${loraModules.join(", ")}`)
    .option("--lora-rank-stabilized", "alpha over the rank's square root: for large ranks");
}

/** @throws GatewayError invalid_request for options of an adapter that is not asked for, or an unknown module */
export function optimizationOf(given: OptionValues, { learningRate }: OptimizationDefaults) {
  const lora = loraOf(given);
  const { epochs, batch, passTokens, schedule, warmup, floor, weightDecay, clipNorm } = given;
  const { checkpointEvery, dtype, memoryBytesMax = null } = given;
  return {
    lora,
    epochs,
    batch,
    passTokens,
    learningRate: given["learningRate"] ?? learningRate * (lora ? LORA_RATE : 1),
    schedule,
    warmup,
    floor,
    weightDecay,
    clipNorm,
    beta1: given["adamBeta1"],
    beta2: given["adamBeta2"],
    checkpointEvery,
    dtype,
    memoryBytesMax,
  };
}

function loraOf(given: OptionValues): LoraSettings | null {
  const { loraRank, loraAlpha, loraModules: named, loraRankStabilized } = given;
  if (given["lora"] !== true) {
    const isAsked = [loraRank, loraAlpha, named, loraRankStabilized].some(Boolean);
    if (isAsked) throw invalid("--lora", "it is not given, and its options are");
    return null;
  }
  const names: readonly string[] = named ?? loraModules;
  const unknown = names.find((name) => !loraModules.some((known) => known === name));
  if (unknown !== undefined) {
    const problem = `'${unknown}' is not a module; there is ${loraModules.join(", ")}`;
    throw invalid("--lora-modules", problem);
  }
  return {
    rank: loraRank ?? LORA_RANK,
    alpha: loraAlpha ?? LORA_ALPHA,
    isRankStabilized: loraRankStabilized === true,
    modules: loraModules.filter((name) => names.includes(name)),
  };
}

const invalid = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });
