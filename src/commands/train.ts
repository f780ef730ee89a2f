/** `plumbline train <method>`: a command for each loss that learns from rows, with the loss's options as its flags. */
import type { Command, OptionValues } from "commander";
import type { TSchema } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { compileOptions } from "../base/options.ts";
import { type LoraSettings, loraModules } from "../checkpoints/adapter.ts";
import { type Method, methods } from "../jobs/training/methods.ts";
import { dtypes, schedules, type TrainingOptions } from "../jobs/training/options.ts";
import { type TrainingSummary, train } from "../jobs/training/train.ts";
import { openRuntime } from "../onnx/runtime/index.ts";
import { count, natural, nonNegative, oneOf, positive, share } from "./readers.ts";
import { trainingProgress } from "./training-progress.ts";

export function addTrain(program: Command): void {
  const group = program
    .command("train")
    .description("train a model, or a reward model, on files of rows; one command a method");
  for (const method of methods) addMethod(group, method);
}

/** Learning rates for all weights of models of about a billion parameters, by family. */
const learningRates: Readonly<Record<string, number>> = {
  supervised: 2e-5,
  pair: 1e-6,
  unpaired: 1e-6,
  list: 1e-6,
  reward: 1e-5,
  "reward-list": 1e-5,
  "reward-point": 1e-5,
};

function addMethod(group: Command, method: Method): void {
  const { loss } = method;
  const command = group
    .command(loss.name)
    .description(
      `${method.isReward ? "a reward model" : "a policy"}, from rows of: ${method.rows.join(", ")}`,
    )
    .requiredOption("--data <file...>", "of rows: JSONL or another known format")
    .requiredOption("--base <folder>", "the checkpoint to start from")
    .requiredOption("--out <folder>", "to be written; new, or of the same command cut short");
  for (const [name, schema] of Object.entries(loss.options.properties))
    addLossOption(command, name, schema);
  addLora(command);
  addShared(command, learningRates[loss.family]!);
  command.action((options: OptionValues) => run(method, options));
}

/** What an adapter's learning rate is over that of all weights. Source: Schulman et al. 2025, "LoRA without regret". */
const LORA_RATE = 10;
/** TRL's. */
const LORA_RANK = 16;
const LORA_ALPHA = 32;

function addLora(command: Command): void {
  command
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

function addShared(command: Command, learningRate: number): void {
  command
    .option("--steps <count>", "updates; without it, what the epochs make", natural)
    .option("--epochs <number>", "times that every example is seen", positive, 1)
    .option("--batch <count>", "examples of a step", natural, 16)
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
    .option("--schedule <name>", schedules.join(", "), oneOf(schedules), "cosine")
    .option("--warmup <number>", "steps, or below 1 a share of them", nonNegative, 0.05)
    .option("--floor <share>", "of the learning rate, to which the schedule falls", share, 0.1)
    .option("--weight-decay <number>", "of matrices, decoupled", nonNegative, 0)
    .option("--clip-norm <number>", "of all gradients together; 0: none", nonNegative, 1)
    .option("--adam-beta1 <number>", "of the first moments", share, 0.9)
    .option("--adam-beta2 <number>", "of the second moments", share, 0.999)
    .option("--seed <number>", "of the order of examples and of who is held out", count, 0)
    .option("--held-out <share>", "of the prompts, to evaluate on", share, 0.05)
    .option("--held-out-data <file...>", "files to evaluate on, instead")
    .option(
      "--evaluate-every <steps>",
      "between evaluations; without it, a tenth of the steps",
      natural,
    )
    .option(
      "--patience <evaluations>",
      "without a lower held-out loss, then stop and keep the best; 0: never",
      count,
      0,
    )
    .option("--data-format <name>", "of the rows; without it, the first rows tell")
    .option("--reward-name <name>", "of rows with rewards by several names, the one to take")
    .option(
      "--context-tokens <count>",
      "of prompt and answer; without it, the base's context",
      natural,
    )
    .option(
      "--bad-rows <what>",
      "refuse or drop rows that cannot be used",
      oneOf(["refuse", "drop"]),
      "refuse",
    )
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
    )
    .option("--threads <count>", "of one operator; without it, one a core", natural)
    .option("--json", "one JSON object on standard output at the end, for machines");
}

async function run(method: Method, options: OptionValues): Promise<void> {
  const runtime = openRuntime();
  const progress = trainingProgress({ isQuiet: options["json"] === true });
  try {
    const summary = await train(runtime, trainingOptions(method, options), progress.listener);
    progress.stop();
    console.log(options["json"] ? JSON.stringify(summary) : told(summary));
  } finally {
    progress.stop();
    runtime.dispose();
  }
}

function told({ out, steps, stoppedEarly, trainLoss, heldOutLoss, keptStep }: TrainingSummary) {
  const loss = (value: number | null) => (value === null ? "–" : value.toPrecision(4));
  const early = stoppedEarly ? ", stopped early" : "";
  return `${out}: ${steps} steps${early}, loss ${loss(trainLoss)}, held-out loss ${loss(heldOutLoss)}; the weights are those of step ${keptStep}`;
}

/** @throws GatewayError invalid_request for an option that the loss does not take so */
function trainingOptions(method: Method, given: OptionValues): TrainingOptions {
  const { loss } = method;
  const ofLoss = Object.keys(loss.options.properties).flatMap((name) => {
    const value: unknown = given[camel(name)];
    return value === undefined ? [] : [[name, value] as const];
  });
  const lora = loraOf(given);
  const learningRate = learningRates[loss.family]! * (lora ? LORA_RATE : 1);
  return {
    method,
    lora,
    lossOptions: compileOptions(loss, loss.name)(Object.fromEntries(ofLoss)),
    data: {
      files: given["data"],
      heldOutFiles: given["heldOutData"] ?? [],
      heldOut: given["heldOut"],
      format: given["dataFormat"] ?? null,
      rewardName: given["rewardName"] ?? null,
      contextTokens: given["contextTokens"] ?? null,
      badRows: given["badRows"],
    },
    steps: given["steps"] ?? null,
    epochs: given["epochs"],
    batch: given["batch"],
    passTokens: given["passTokens"],
    learningRate: given["learningRate"] ?? learningRate,
    schedule: given["schedule"],
    warmup: given["warmup"],
    floor: given["floor"],
    weightDecay: given["weightDecay"],
    clipNorm: given["clipNorm"],
    beta1: given["adamBeta1"],
    beta2: given["adamBeta2"],
    seed: given["seed"],
    evaluateEvery: given["evaluateEvery"] ?? null,
    patience: given["patience"],
    dtype: given["dtype"],
    base: given["base"],
    out: given["out"],
    checkpointEvery: given["checkpointEvery"],
    threads: given["threads"] ?? null,
    memoryBytesMax: given["memoryBytesMax"] ?? null,
  };
}

/** @throws GatewayError invalid_request for options of an adapter that is not asked for, or an unknown module */
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

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** An option of the loss as a flag; what its value may be, the loss's schema decides. */
function addLossOption(command: Command, name: string, schema: TSchema): void {
  const { description = "of the loss", default: preset, type } = schema as SchemaNotes;
  const flag = `--${name.replaceAll("_", "-")} <value>`;
  const read = (text: string): unknown => {
    if (type === "boolean") return text === "true" ? true : text === "false" ? false : text;
    return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  command.option(flag, `${description} (default: ${JSON.stringify(preset)})`, read);
}

/** What JSON Schema says of one option. */
interface SchemaNotes {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
}
