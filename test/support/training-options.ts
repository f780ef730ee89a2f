/** What trainings in tests are asked for where they care for nothing else: a constant rate, one thread, all rows taken. */
import type { DataOptions, TrainingOptions } from "../../src/jobs/training/options.ts";

type Usual = Omit<
  TrainingOptions,
  "method" | "lossOptions" | "data" | "base" | "out" | "steps" | "evaluateEvery"
>;

export const usualTraining: Usual = {
  lora: null,
  epochs: 1,
  batch: 8,
  passTokens: 512,
  learningRate: 0.01,
  schedule: "constant",
  warmup: 0,
  floor: 0,
  weightDecay: 0,
  clipNorm: 1,
  beta1: 0.9,
  beta2: 0.999,
  dtype: "float32",
  seed: 5,
  patience: 0,
  checkpointEvery: 50,
  threads: 1,
  memoryBytesMax: null,
};

export const usualReading: Omit<DataOptions, "files"> = {
  heldOutFiles: [],
  heldOut: 0,
  format: null,
  rewardName: null,
  contextTokens: null,
  badRows: "refuse",
};
