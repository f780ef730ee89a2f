/** What a training on answers of its own policy is asked for. */
import type { Static, TObject } from "typebox";
import type { RewardSpec } from "../../../rewards/define.ts";
import type { ImportanceOptions } from "../../../train/advantages.ts";
import type { PromptOptions } from "../../batch/prompts.ts";
import type { Method } from "../methods.ts";
import type { Circumstances, Optimization } from "../options.ts";

/** How answers count that the limit of tokens has cut: as judged; not at all; in the baselines of the others only. */
export const unfinishedWays = ["take", "drop", "mask"] as const;
export type UnfinishedWay = (typeof unfinishedWays)[number];

/** The same options give the same weights, bit by bit, on the same machine. `batch`: prompts of a rollout. */
export interface OnlineRecipe extends Optimization {
  /** The command's. */
  readonly name: string;
  readonly method: Method;
  readonly lossOptions: Static<TObject>;
  readonly prompts: PromptOptions;
  /** Of a file's prompts those held out; the corpus has a side of its own. */
  readonly heldOut: number;
  /** Held-out prompts to evaluate on, at most. */
  readonly evaluate: number;
  /** An id, or a kind with its options; of a prompt with a right answer the options need not name it. null: the default. */
  readonly reward: string | RewardSpec | null;
  /** Answers of a prompt. */
  readonly k: number;
  /** Prompts of an update; null: all of the rollout. */
  readonly minibatch: number | null;
  /** null: as many as it takes to use each prompt once. */
  readonly updatesPerRollout: number | null;
  /** Updates after which drawn answers are not to be learned from any more. */
  readonly stalenessMax: number;
  readonly importance: Required<ImportanceOptions>;
  readonly temperature: number;
  readonly maxTokens: number;
  /** Of prompt and answer; null: the base's context. */
  readonly contextTokens: number | null;
  readonly unfinished: UnfinishedWay;
  /** In place of what a cut answer is judged; null: as judged. */
  readonly unfinishedReward: number | null;
  /** Tokens before the longest answer over which a penalty rises to 1; 0: none. */
  readonly overlongBuffer: number;
  /** β of the penalty within the reward: −β·(log π − log π_ref). */
  readonly rewardKl: number;
  /** Of generalised advantages. */
  readonly gamma: number;
  readonly lambda: number;
  readonly whitens: boolean;
  /** η of π^(1−η)·π_ref^η, which draws what answers are compared with (Nash-MD). */
  readonly mixture: number;
  /** Updates; null: as many as `epochs` over the prompts make. */
  readonly steps: number | null;
  readonly seed: number;
  /** Steps; null: ten times in all. */
  readonly evaluateEvery: number | null;
  readonly patience: number;
}

/** Sequences that the engine decodes at a time. */
export interface OnlineCircumstances extends Circumstances {
  readonly sequencesMax: number;
  readonly cacheBytesMax: number;
}

export type OnlineOptions = OnlineRecipe & OnlineCircumstances;
