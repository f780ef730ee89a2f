/** A trial's training, as `plumbline train` would be asked for it. */
import type { TrainingOptions } from "../training/options.ts";
import { formatFor } from "./candidates.ts";
import type { CheckedTrial, RowsName } from "./trials.ts";

interface Circumstances {
  readonly policy: string;
  readonly seed: number;
  readonly threads: number | null;
  readonly memoryBytesMax: number | null;
}

interface Files {
  readonly data: string;
  /** What they are. */
  readonly rows: RowsName;
  /** Of pairs to watch, where the loss is one on pairs; null: there is none. */
  readonly watchedPairs: string | null;
  readonly out: string;
}

/** Nothing of the rows is held out, and nothing stops early: policies are judged by what they answer. */
export function trainingOf(
  { trial, method, lossOptions }: CheckedTrial,
  { policy, seed, threads, memoryBytesMax }: Circumstances,
  { data, rows, watchedPairs, out }: Files,
): TrainingOptions {
  const isWatched = method.loss.family === "pair" && watchedPairs !== null;
  return {
    method,
    lossOptions,
    lora: null,
    data: {
      files: [data],
      heldOutFiles: isWatched ? [watchedPairs] : [],
      heldOut: 0,
      format: formatFor(rows),
      rewardName: null,
      contextTokens: null,
      badRows: "refuse",
    },
    steps: null,
    epochs: trial.epochs,
    batch: trial.batch,
    passTokens: 2048,
    learningRate: trial.learningRate,
    schedule: "cosine",
    warmup: 0.1,
    floor: 0.1,
    weightDecay: 0,
    clipNorm: 1,
    beta1: 0.9,
    beta2: 0.999,
    seed,
    evaluateEvery: null,
    patience: 0,
    dtype: "float32",
    base: policy,
    out,
    checkpointEvery: 50,
    threads,
    memoryBytesMax,
  };
}
