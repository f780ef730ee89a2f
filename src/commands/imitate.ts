/** `plumbline batch spin | gsil | irl | aihf | gail | airl | fairl`: a policy that learns to say what demonstrations say. */
import type { Command, OptionValues } from "commander";
import { compileOptions } from "../base/options.ts";
import {
  discriminator,
  type ImitateMade,
  type Imitation,
  imitate,
  imitationNames,
  imitations,
  improvements,
  type RewardLearning,
} from "../jobs/batch/imitate.ts";
import { lossNamed } from "../train/losses/index.ts";
import { lossOptionsOf, withLossOptions } from "./loss-options.ts";
import { type OptimizationDefaults, withOptimization } from "./optimization.ts";
import { withSettings } from "./options.ts";
import { ANSWERS_MAX, answers, oneOf, positive } from "./readers.ts";
import {
  figure,
  iterationsOf,
  runIterations,
  sharedOf,
  withIterations,
  withSampling,
} from "./sampling.ts";

const descriptions: Readonly<Record<Imitation, string>> = {
  spin: "self-play: the policy learns to prefer demonstrations to its own answers",
  gsil: "self-play: the policy's log-ratio learns to classify demonstrations and its own answers",
  irl: "inverse reinforcement learning: a reward of demonstrations, a policy by the reward, in turn",
  aihf: "the same with labelled pairs beside the demonstrations",
  gail: "adversarial imitation: the reward is the log-odds of being a demonstration",
  airl: "adversarial imitation by reverse KL",
  fairl: "adversarial imitation by forward KL",
};

const hasReward = (name: Imitation) => discriminator(name).isReward;

/** Of losses over pairs, and of RAFT on winners. */
const defaultsOf = (name: Imitation): OptimizationDefaults => ({
  epochs: 2,
  learningRate: hasReward(name) ? 2e-5 : 1e-6,
  schedule: "linear",
  floor: 0,
});

export function addImitations(group: Command): void {
  for (const name of imitationNames) {
    const command = group
      .command(name)
      .description(descriptions[name])
      .requiredOption("--demonstrations <source>", "rows to imitate, or corpus:<domain>:<count>")
      .option("--own <count>", `own answers to each prompt, at most ${ANSWERS_MAX}`, answers, 1);
    withLossOptions(command, discriminator(name).loss, imitations[name].fixed);
    if (hasReward(name)) withReward(command, name);
    withIterations(withOptimization(withSampling(command), defaultsOf(name)));
    withSettings(command).action((options: OptionValues) => run(name, options));
  }
}

function withReward(command: Command, name: Imitation): void {
  if (name === "aihf")
    command.requiredOption("--preferences <file...>", "labelled pairs, beside the demonstrations");
  command
    .option("--k <count>", `answers to learn the best of, at most ${ANSWERS_MAX}`, answers, 8)
    .option(
      "--improve <how>",
      "raft: learn the best answer; dpo: the best against the worst",
      oneOf(improvements),
      "raft",
    )
    .option("--improve-beta <number>", "of dpo", positive, 0.1)
    .option("--reward-base <folder>", "what the reward starts from; without it, the policy")
    .option("--reward-epochs <number>", "over the pairs, an iteration", positive, 1)
    .option("--reward-learning-rate <number>", "of the reward, at its peak", positive, 1e-5);
}

const run = (name: Imitation, options: OptionValues) =>
  runIterations<ImitateMade>(
    options,
    ({ runtime, config, serve, listener }) =>
      imitate(runtime, serve, {
        options: {
          ...sharedOf(options, options["demonstrations"]),
          ...iterationsOf(config, options, defaultsOf(name)),
          imitation: name,
          lossOptions: lossOptionsOf(discriminator(name).loss, options, imitations[name].fixed),
          own: options["own"],
          learning: hasReward(name) ? learningOf(options) : null,
        },
        listener,
      }),
    madeText,
  );

function learningOf(given: OptionValues): RewardLearning {
  const { k, improve, improveBeta, rewardBase = null, rewardEpochs, rewardLearningRate } = given;
  return {
    preferences: given["preferences"] ?? [],
    base: rewardBase,
    epochs: rewardEpochs,
    learningRate: rewardLearningRate,
    improve,
    improveOptions: compileOptions(
      lossNamed(improve),
      improve,
    )(improve === "dpo" ? { beta: improveBeta } : {}),
    k,
  };
}

function madeText({ pairs, imitated, reward, selection, steps, trainLoss }: ImitateMade): string {
  const judged = reward
    ? `, reward loss ${figure(reward.trainLoss)} (held out ${figure(reward.heldOutLoss)}), ${selection!.rows} rows by it`
    : "";
  return `${pairs} pairs, ${imitated} own answers that are demonstrations${judged}, ${steps} steps, loss ${figure(trainLoss)}`;
}
