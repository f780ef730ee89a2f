/** `plumbline batch <mode>`: training data from a served policy and a reward, and RAFT, which trains on them in iterations. */
import { stat } from "node:fs/promises";
import type { Command, OptionValues } from "commander";
import type { Config } from "../base/config.ts";
import { GatewayError } from "../base/errors.ts";
import { pairRules } from "../datasets/pairing.ts";
import { type BatchOptions, type BatchSummary, batch } from "../jobs/batch/batch.ts";
import { type RaftReport, type RaftSummary, raft } from "../jobs/batch/raft.ts";
import { drawing } from "../jobs/batch/sample-prompts.ts";
import type { Selection } from "../jobs/batch/selection.ts";
import { openRuntime } from "../onnx/runtime/index.ts";
import { policyFolder } from "../setup/models.ts";
import { batchProgress } from "./batch-progress.ts";
import { type OptimizationDefaults, optimizationOf, withOptimization } from "./optimization.ts";
import { configOf, withSettings } from "./options.ts";
import {
  ANSWERS_MAX,
  answers,
  count,
  natural,
  nonNegative,
  number,
  oneOf,
  positive,
  share,
  shareOrAll,
} from "./readers.ts";
import { plain } from "./report.ts";
import { servingOf } from "./serving.ts";
import { trainingProgress } from "./training-progress.ts";

export function addBatch(program: Command): void {
  const group = program
    .command("batch")
    .description("answers to many prompts, judged and filtered into training data; and RAFT");
  for (const mode of modes) {
    const command = group.command(mode.name).description(mode.description);
    mode.add(command);
    withSettings(withShared(command)).action((options) => run(mode, options));
  }
  const command = group
    .command("raft")
    .description("iterations of: sample, judge, filter, train on the winners, evaluate");
  withIterations(withOptimization(command, raftDefaults));
  withSettings(withShared(command)).action(runRaft);
}

interface Mode {
  readonly name: string;
  readonly description: string;
  readonly add: (command: Command) => void;
  readonly options: (
    given: OptionValues,
  ) => Pick<BatchOptions, "alignment" | "choices" | "selection">;
}

const modes: readonly Mode[] = [
  {
    name: "best-of-n",
    description: "the best answer of each prompt, or the best share of all",
    add: withFilter,
    options: (given) => ({ ...drawn(given), selection: filterOf(given) }),
  },
  {
    name: "rejection",
    description: "of each prompt the first answer whose reward reaches a threshold, if one does",
    add: (command) =>
      command
        .option(
          "--threshold <reward>",
          "to reach; without it, a quantile of the prompt's own",
          number,
        )
        .option("--quantile <share>", "of the first answers' rewards, instead", share, 0.75),
    options: ({ k, threshold = null, quantile }) => ({
      alignment: { strategy: "rejection", options: { n: k, threshold, quantile } },
      choices: 1,
      selection: { kind: "accepted", stopped: "accepted" },
    }),
  },
  {
    name: "rso",
    description: "answers accepted with probability exp((reward − highest)/beta)",
    add: (command) =>
      command
        .option("--beta <number>", "in the reward's unit", positive, 0.5)
        .option("--accept <count>", "answers of a prompt, at most --k", natural, 1),
    options({ k, beta, accept }) {
      if (accept > k) {
        const problem = `${accept} cannot be accepted of ${k} answers; raise --k`;
        throw new GatewayError("invalid_request", { param: "--accept", problem });
      }
      return {
        alignment: { strategy: "rso", options: { n: k, beta } },
        choices: accept,
        selection: { kind: "accepted", stopped: "complete" },
      };
    },
  },
  {
    name: "pairs",
    description: "a better and a worse answer to each prompt",
    add: (command) =>
      command
        .option("--rule <name>", pairRules.join(", "), oneOf(pairRules), "max_min")
        .option("--gap-min <reward>", "by which the two differ at least", nonNegative, 0.01)
        .option("--length-penalty <reward>", "a character, for max_min_p", nonNegative, 0),
    options: (given) => ({ ...drawn(given), selection: pairsOf(given) }),
  },
];

const drawn = ({ k }: OptionValues) => ({ alignment: drawing(k), choices: 1 });

const pairsOf = ({ rule, gapMin, lengthPenalty, seed }: OptionValues): Selection => ({
  kind: "pairs",
  rule,
  gapMin,
  lengthPenalty,
  seed,
});

function withFilter(command: Command): void {
  command
    .option(
      "--filter <name>",
      "best of each prompt, or top over all",
      oneOf(["best", "top"]),
      "best",
    )
    .option("--top <share>", "of all answers, for --filter top", shareOrAll, 0.2);
}

const filterOf = ({ filter, top }: OptionValues): Selection =>
  filter === "top" ? { kind: "top", share: top } : { kind: "best" };

function withShared(command: Command): Command {
  return command
    .requiredOption("--prompts <source>", "a file, or corpus:<domain>:<count>")
    .requiredOption("--out <folder>", "to be written; new, or of the same command cut short")
    .option("--policy <folder>", "the checkpoint that answers; without it, the configured policy")
    .option("--reward <folder|id>", "a checkpoint, or a configured reward; without it, the default")
    .option("--k <count>", `answers of each prompt, at most ${ANSWERS_MAX}`, answers, 8)
    .option("--temperature <number>", "of sampling", nonNegative, 1)
    .option("--top-p <share>", "of sampling", shareOrAll, 1)
    .option("--max-tokens <count>", "of an answer", natural, 160)
    .option("--unfinished <what>", "take or drop cut answers", oneOf(["take", "drop"]), "drop")
    .option("--data-format <name>", "of the prompts' file; without it, the first rows tell")
    .option(
      "--bad-rows <what>",
      "refuse or drop rows that cannot be used",
      oneOf(["refuse", "drop"]),
      "refuse",
    )
    .option("--seed <number>", "of prompts, samples and training", count, 0)
    .option("--json", "one JSON object on standard output at the end, for machines");
}

/** As Dong et al., arXiv:2304.06767, §4. */
const raftDefaults: OptimizationDefaults = {
  epochs: 2,
  learningRate: 2e-5,
  schedule: "linear",
  floor: 0,
};

function withIterations(command: Command): Command {
  withFilter(command);
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

async function run(mode: Mode, options: OptionValues): Promise<void> {
  const progress = batchProgress({ isQuiet: options["json"] === true });
  try {
    const config = await configured(options);
    const asked = {
      ...sharedOf(options),
      mode: mode.name,
      k: options["k"],
      ...mode.options(options),
    };
    const summary = await batch(servingOf(config, options), asked, progress);
    progress.stop();
    console.log(options["json"] ? JSON.stringify(summary) : told(summary));
  } finally {
    progress.stop();
  }
}

async function runRaft(options: OptionValues): Promise<void> {
  const isQuiet = options["json"] === true;
  const progress = batchProgress({ isQuiet });
  const config = await configured(options);
  const runtime = openRuntime();
  let training = trainingProgress({ isQuiet });
  const listener = {
    onProgress: (stage: string, done: number, total: number) =>
      progress.onProgress(stage, done, total),
    training: {
      onStart: (plan: Parameters<typeof training.listener.onStart>[0]) => {
        training = trainingProgress({ isQuiet });
        training.listener.onStart(plan);
      },
      onReferences: () => {}, // its loss has none
      onStep: (report: Parameters<typeof training.listener.onStep>[0]) => {
        training.listener.onStep(report);
      },
    },
    onIteration(report: RaftReport) {
      training.stop();
      if (!isQuiet) process.stderr.write(`${iterationText(report)}\n`);
    },
  };
  try {
    const asked = { ...sharedOf(options), ...raftOf(config, options) };
    const parts = { options: asked, listener };
    const summary = await raft(runtime, servingOf(config, options), parts);
    console.log(isQuiet ? JSON.stringify(summary) : raftText(summary));
  } finally {
    progress.stop();
    training.stop();
    runtime.dispose();
  }
}

function sharedOf(given: OptionValues) {
  const { prompts, dataFormat = null, badRows, seed, out, temperature, topP, maxTokens } = given;
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

function raftOf(config: Config, given: OptionValues) {
  const { k, iterations, iterationPrompts = null, patience, heldOut, evaluate } = given;
  return {
    k,
    iterations,
    iterationPrompts,
    patience,
    heldOut,
    evaluate,
    policy: policyFolder(config),
    selection: filterOf(given),
    training: {
      ...optimizationOf(given, raftDefaults),
      steps: null,
      evaluateEvery: null,
      patience: 0,
      threads: config.threads || null,
      contextTokens: config.contextTokens ?? null,
    },
  };
}

/** A reward that is no folder is an id. */
async function configured(options: OptionValues): Promise<Config> {
  const { policy, reward } = options;
  const isFolder = reward !== undefined && (await stat(reward).catch(() => null))?.isDirectory();
  return configOf({
    ...options,
    ...(policy !== undefined && { policyDir: policy }),
    ...(isFolder && { rewardDir: reward }),
  });
}

const figure = (value: number | null) => (value === null ? "–" : value.toFixed(3));

function told({ out, prompts, selection, rewards }: BatchSummary): string {
  const { rows, answers, unfinished, unrewarded, empty, repeated } = selection;
  const left = Object.entries({ unfinished, unrewarded, empty, repeated })
    .filter(([, many]) => many > 0)
    .map(([why, many]) => `, ${many} ${why}`);
  return `${out}: ${rows} rows of ${answers} answers to ${prompts} prompts${left.join("")}; reward ${figure(rewards.sampled)}, of the best ${figure(rewards.best)}`;
}

function iterationText({ iteration, heldOut, made }: RaftReport): string {
  const sampled = made
    ? `; sampled ${figure(made.rewards.sampled)}, of the best ${figure(made.rewards.best)}, ${made.selection.rows} winners, ${made.steps} steps`
    : "";
  if (!heldOut) return `iteration ${iteration}${sampled}`;
  const { reward, gold, accuracy } = heldOut;
  const known = gold && accuracy ? `, gold ${plain(gold)}, right ${plain(accuracy)}` : "";
  return `iteration ${iteration}: held-out reward ${plain(reward)}${known}${sampled}`;
}

function raftText({ iterations, best }: RaftSummary): string {
  const lines = iterations.map(iterationText);
  const { policy } = iterations.find(({ iteration }) => iteration === best)!;
  return [...lines, `The best policy is that of iteration ${best}: ${policy}`].join("\n");
}
