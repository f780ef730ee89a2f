/** Everything that decides the result of a training on own answers, flat, under the names of the command's flags. */
import { basename } from "node:path";
import { hashOfPrompts } from "../../batch/prompts.ts";
import type { Base } from "../base.ts";
import { optimizationManifest } from "../manifest.ts";
import type { Manifest } from "../work-folder.ts";
import type { OnlineOptions } from "./options.ts";
import type { ReadPrompt } from "./prompts.ts";

export const PROMPTS_HASH = "prompts, SHA-256";

export function onlineManifest(
  options: OnlineOptions,
  base: Base,
  of: {
    readonly train: readonly ReadPrompt[];
    readonly heldOut: readonly ReadPrompt[];
    readonly contextTokens: number;
    readonly reward: string;
  },
): Manifest {
  const { method, lossOptions, importance } = options;
  const ofLoss = Object.entries(lossOptions).map(([name, value]) => [
    `--${name.replaceAll("_", "-")}`,
    typeof value === "object" ? JSON.stringify(value) : value,
  ]);
  return {
    method: options.name,
    loss: method.loss.name,
    ...Object.fromEntries(ofLoss),
    "--base": base.sha256,
    "--prompts": basename(options.prompts.source), // what is in it, the next tells
    [PROMPTS_HASH]: hashOfPrompts(of.train),
    "held-out prompts, SHA-256": hashOfPrompts(of.heldOut),
    "--reward": of.reward,
    "--k": options.k,
    "--temperature": options.temperature,
    "--max-tokens": options.maxTokens,
    "context tokens": of.contextTokens,
    "--minibatch": options.minibatch,
    "--updates-per-rollout": options.updatesPerRollout,
    "--staleness-max": options.stalenessMax,
    "--importance": JSON.stringify(importance),
    "--unfinished": options.unfinished,
    "--unfinished-reward": options.unfinishedReward,
    "--overlong-buffer": options.overlongBuffer,
    "--reward-kl": options.rewardKl,
    "--gamma": options.gamma,
    "--lambda": options.lambda,
    "--whiten": options.whitens,
    "--mixture": options.mixture,
    ...optimizationManifest(options),
    "--steps": options.steps,
    "--seed": options.seed,
    "--evaluate-every": options.evaluateEvery,
    "--patience": options.patience,
  };
}
