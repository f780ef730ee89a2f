/** A trial's training on answers of its own policy, as `plumbline train` would be asked for it. */
import type { RewardSpec } from "../../rewards/define.ts";
import { ANSWER_TOKENS_MAX } from "../in-turns.ts";
import type { OnlineOptions } from "../training/online/options.ts";
import type { CheckedTrial, Rollouts } from "./trials.ts";

interface Circumstances {
  readonly policy: string;
  readonly k: number;
  readonly seed: number;
  readonly threads: number | null;
  readonly memoryBytesMax: number | null;
}

/** Sequences that are decoded at a time: those of a rollout. */
const SEQUENCES_MAX = 64;
const CACHE_BYTES_MAX = 2 ** 30;

/** Where a solution can be checked it is; elsewhere null, the reward that judged the candidates. */
const rewardOf = ({ domain }: Rollouts): RewardSpec | null =>
  domain === "arithmetic" ? { kind: "numeric-match" } : null;

/** Nothing is evaluated on the way, and nothing stops early: policies are judged by what they answer. */
export function rolloutTrainingOf(
  { trial, method, lossOptions }: CheckedTrial,
  rollouts: Rollouts,
  { policy, k, seed, threads, memoryBytesMax, out }: Circumstances & { readonly out: string },
): OnlineOptions {
  const { domain, prompts } = rollouts;
  return {
    name: method.loss.name,
    method,
    lossOptions,
    prompts: { source: `corpus:${domain}:${prompts}`, format: null, badRows: "refuse", seed },
    heldOut: 0,
    evaluate: 0,
    reward: rewardOf(rollouts),
    k,
    minibatch: null,
    updatesPerRollout: null,
    stalenessMax: 4,
    importance: { level: "answer", beyond: "mask", ratioMax: 3 },
    temperature: 1,
    maxTokens: ANSWER_TOKENS_MAX,
    contextTokens: null,
    unfinished: "take",
    unfinishedReward: null,
    overlongBuffer: 0,
    rewardKl: 0,
    gamma: 1,
    lambda: 0.95,
    whitens: true,
    mixture: 0.5,
    steps: null,
    evaluateEvery: null,
    patience: 0,
    lora: null,
    epochs: trial.epochs,
    batch: trial.batch,
    passTokens: 2048,
    learningRate: trial.learningRate,
    schedule: "linear",
    warmup: 0.1,
    floor: 0,
    weightDecay: 0,
    clipNorm: 1,
    beta1: 0.9,
    beta2: 0.999,
    dtype: "float32",
    seed,
    base: policy,
    out,
    checkpointEvery: 50,
    threads,
    memoryBytesMax,
    sequencesMax: SEQUENCES_MAX,
    cacheBytesMax: CACHE_BYTES_MAX,
  };
}
