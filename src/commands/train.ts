/** `plumbline train <method>`: a command for each loss that learns from rows, with the loss's options as its flags. */
import type { Command, OptionValues } from "commander";
import { type Method, methods } from "../jobs/training/methods.ts";
import type { TrainingOptions } from "../jobs/training/options.ts";
import { type TrainingSummary, train } from "../jobs/training/train.ts";
import { openRuntime } from "../onnx/runtime/index.ts";
import { lossOptionsOf, withLossOptions } from "./loss-options.ts";
import { type OptimizationDefaults, optimizationOf, withOptimization } from "./optimization.ts";
import { withReading } from "./options.ts";
import { count, natural, share } from "./readers.ts";
import { addOwnFlags, ownOptions } from "./train-methods.ts";
import { addOnline } from "./train-online.ts";
import { trainingProgress } from "./training-progress.ts";

export function addTrain(program: Command): void {
  const group = program
    .command("train")
    .description(
      "train a model, or a reward model, on files of rows, or on answers of its own; one command a method",
    );
  for (const method of methods) addMethod(group, method);
  addOnline(group);
}

/** Learning rates for all weights of models of about a billion parameters, by family. */
const learningRates: Readonly<Record<string, number>> = {
  supervised: 2e-5,
  distillation: 2e-5,
  pair: 1e-6,
  unpaired: 1e-6,
  list: 1e-6,
  reward: 1e-5,
  "reward-list": 1e-5,
  "reward-point": 1e-5,
};

const defaultsOf = ({ loss }: Method): OptimizationDefaults => ({
  epochs: 1,
  learningRate: learningRates[loss.family]!,
  schedule: "cosine",
  floor: 0.1,
});

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
  withLossOptions(command, loss);
  addOwnFlags(command, method);
  withOptimization(withData(command), defaultsOf(method)).action((options: OptionValues) =>
    run(method, options),
  );
}

function withData(command: Command): Command {
  return withReading(command, "rows")
    .option("--steps <count>", "updates; without it, what the epochs make", natural)
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
    .option("--reward-name <name>", "of rows with rewards by several names, the one to take")
    .option(
      "--context-tokens <count>",
      "of prompt and answer; without it, the base's context",
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
  return {
    ...optimizationOf(given, defaultsOf(method)),
    method,
    lossOptions: lossOptionsOf(method.loss, given),
    ...ownOptions(method, given),
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
    seed: given["seed"],
    evaluateEvery: given["evaluateEvery"] ?? null,
    patience: given["patience"],
    base: given["base"],
    out: given["out"],
    threads: given["threads"] ?? null,
  };
}
