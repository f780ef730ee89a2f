/** What a training is asked for: everything that decides its result, and what does not. */
import type { Static, TObject } from "typebox";
import type { LoraSettings } from "../../checkpoints/adapter.ts";
import type { Conditioning } from "./conditional.ts";
import type { Method } from "./methods.ts";
import type { StepReading } from "./step-marks.ts";

export const schedules = ["constant", "linear", "cosine"] as const;
export type ScheduleName = (typeof schedules)[number];
export const dtypes = ["float32", "float16", "bfloat16", "base"] as const;

/** How the weights are changed, whatever they learn from. */
export interface Optimization {
  /** null: all weights are trained. */
  readonly lora: LoraSettings | null;
  readonly epochs: number;
  /** Examples of a step. */
  readonly batch: number;
  /** What is computed at once; a step of more tokens takes several passes. */
  readonly passTokens: number;
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  /** Of the steps if below 1, else a number of steps. */
  readonly warmup: number;
  /** What the schedule falls to, as a share of the learning rate. */
  readonly floor: number;
  readonly weightDecay: number;
  /** 0: gradients are not clipped. */
  readonly clipNorm: number;
  readonly beta1: number;
  readonly beta2: number;
  /** Of the written weights; an adapter's are float32 in any case. */
  readonly dtype: (typeof dtypes)[number];
}

/** The same options give the same weights, bit by bit, on the same machine. */
export interface Recipe extends Optimization {
  readonly method: Method;
  readonly lossOptions: Static<TObject>;
  /** Of `distillation` alone. */
  readonly teacher?: TeacherChoice | undefined;
  /** Of `conditional-sft` alone. */
  readonly conditioning?: Conditioning | undefined;
  /** Of reward models that learn from rows of steps. */
  readonly stepReading?: StepReading | undefined;
  /** Of reward models: every beginning of an answer is judged, not its end alone. */
  readonly prefixes?: boolean | undefined;
  readonly data: DataOptions;
  /** null: as many as `epochs` make. */
  readonly steps: number | null;
  readonly seed: number;
  /** Steps; null: ten times in all. */
  readonly evaluateEvery: number | null;
  readonly patience: number;
}

export interface TeacherChoice {
  /** A checkpoint's. What is in it decides, not where it is. */
  readonly folder: string;
  /** Likely tokens that are kept of each place. */
  readonly tokens: number;
}

export interface DataOptions {
  readonly files: readonly string[];
  /** Files of their own to evaluate on; without them a share of the prompts. */
  readonly heldOutFiles: readonly string[];
  readonly heldOut: number;
  /** A format's name; null: the first rows tell. */
  readonly format: string | null;
  /** Of rows with rewards by several names. */
  readonly rewardName: string | null;
  /** Tokens of prompt and answer; null: the base's context. */
  readonly contextTokens: number | null;
  readonly badRows: "refuse" | "drop";
}

/** What may differ between a command and the one that goes on with it. */
export interface Circumstances {
  readonly base: string;
  readonly out: string;
  readonly checkpointEvery: number;
  readonly threads: number | null;
  /** null: what is free, less a reserve. */
  readonly memoryBytesMax: number | null;
}

export type TrainingOptions = Recipe & Circumstances;
