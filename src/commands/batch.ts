/** `plumbline batch <mode>`: training data from a served policy and a reward, and RAFT, which trains on them in iterations. */
import type { Command, OptionValues } from "commander";
import { GatewayError } from "../base/errors.ts";
import { pairRules } from "../datasets/pairing.ts";
import { type BatchOptions, type BatchSummary, batch } from "../jobs/batch/batch.ts";
import { type RaftMade, raft } from "../jobs/batch/raft.ts";
import { drawing } from "../jobs/batch/sample-prompts.ts";
import type { Selection } from "../jobs/batch/selection.ts";
import { batchProgress } from "./batch-progress.ts";
import { addImitations } from "./imitate.ts";
import { type OptimizationDefaults, withOptimization } from "./optimization.ts";
import { withSettings } from "./options.ts";
import {
  ANSWERS_MAX,
  answers,
  natural,
  nonNegative,
  number,
  oneOf,
  positive,
  share,
  shareOrAll,
} from "./readers.ts";
import {
  configured,
  figure,
  iterationsOf,
  runIterations,
  sharedOf,
  withIterations,
  withSampling,
} from "./sampling.ts";
import { servingOf } from "./serving.ts";

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
  withFilter(withIterations(withOptimization(command, raftDefaults)));
  withSettings(withShared(command)).action(runRaft);
  addImitations(group);
}

const withShared = (command: Command): Command =>
  withSampling(
    command.requiredOption("--prompts <source>", "a file, or corpus:<domain>:<count>"),
  ).option("--k <count>", `answers of each prompt, at most ${ANSWERS_MAX}`, answers, 8);

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

async function run(mode: Mode, options: OptionValues): Promise<void> {
  const progress = batchProgress({ isQuiet: options["json"] === true });
  try {
    const config = await configured(options);
    const asked = {
      ...sharedOf(options, options["prompts"]),
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

/** As Dong et al., arXiv:2304.06767, §4. */
const raftDefaults: OptimizationDefaults = {
  epochs: 2,
  learningRate: 2e-5,
  schedule: "linear",
  floor: 0,
};

const runRaft = (options: OptionValues) =>
  runIterations<RaftMade>(
    options,
    ({ runtime, config, serve, listener }) =>
      raft(runtime, serve, {
        options: {
          ...sharedOf(options, options["prompts"]),
          ...iterationsOf(config, options, raftDefaults),
          k: options["k"],
          selection: filterOf(options),
        },
        listener,
      }),
    ({ rewards, selection, steps }) =>
      `sampled ${figure(rewards.sampled)}, of the best ${figure(rewards.best)}, ${selection.rows} winners, ${steps} steps`,
  );

function told({ out, prompts, selection, rewards }: BatchSummary): string {
  const { rows, answers, unfinished, unrewarded, empty, repeated } = selection;
  const left = Object.entries({ unfinished, unrewarded, empty, repeated })
    .filter(([, many]) => many > 0)
    .map(([why, many]) => `, ${many} ${why}`);
  return `${out}: ${rows} rows of ${answers} answers to ${prompts} prompts${left.join("")}; reward ${figure(rewards.sampled)}, of the best ${figure(rewards.best)}`;
}
