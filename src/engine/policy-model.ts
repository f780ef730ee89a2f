/** What the engine wants of a model, whoever made its graph: ours (`serving-model.ts`) or somebody else (`imported/`). */
import type { Head } from "../onnx/transformer.ts";
import type { NamedAdapter } from "./adapter-bank.ts";
import type { BatchesOptions } from "./batches.ts";
import type { CacheBlock } from "./cache.ts";
import type { Occupant, Running } from "./running.ts";
import type { LogitsRow } from "./sampler.ts";

export interface PolicyModel {
  readonly config: { readonly vocabSize: number; readonly contextTokens: number };
  /** Identifies the weights. */
  readonly revision: string;
  readonly head: Head;
  /** Milliseconds spent inside ONNX Runtime so far. */
  readonly runMs: number;
  /** Whether candidates of one long prompt can hold it once. */
  readonly sharesPrefixes: boolean;
  /**
   * Makes ready what serving these adapters takes, while the model goes on serving others.
   * @returns puts them in place of those before; to be called between two runs, once.
   */
  prepareAdapters(adapters: readonly NamedAdapter[]): Promise<() => Promise<void>>;
  createBatches(options: BatchesOptions): RunningBatches;
  createPromptRunner(): PromptRunning;
  /** Resolves when no run of a model is in flight or in line that shares its cores, and whoever waited for one has gone on. */
  quiet(): Promise<void>;
  dispose(): Promise<void>;
}

/** Where running sequences are, each with its keys and values. */
export interface RunningBatches {
  /** Tokens that the budget holds. */
  readonly tokensMax: number;
  /** Taken by keys and values. */
  readonly bytes: number;
  /** Whether the budget holds it when nothing else runs. */
  couldHold(occupant: Occupant): boolean;
  /** Whether the budget holds these at once. */
  fits(occupants: readonly Occupant[]): boolean;
  join(sequence: Running): Promise<void>;
  leave(leaving: ReadonlySet<Running>): Promise<void>;
  /** One new token for everything that runs and does not sit out. A run that fails harms no others than its own. */
  step(onFailure: (sequences: readonly Running[], cause: unknown) => void): Promise<void>;
  dispose(): void;
}

/** Several new tokens of one sequence, in a slot of its own. */
export interface PromptRunning {
  /** Makes the slot begin with these tokens' keys and values. */
  write(blocks: readonly CacheBlock[]): Promise<void>;
  read(from: number, length: number): Promise<CacheBlock>;
  /**
   * Runs new tokens after the first `past` ones of the slot.
   * @param rows which of the new tokens reach the head.
   * @param options.temperature of the cdf, for a policy.
   */
  logits(
    tokens: readonly number[],
    past: number,
    rows: readonly number[],
    options?: { temperature?: number; adapter?: string | null },
  ): Promise<LogitsRow[]>;
  /** New tokens whose keys and values alone are wanted. */
  extend(tokens: readonly number[], past: number, adapter?: string | null): Promise<void>;
  dispose(): void;
}
