/** What the engine wants of a model, whoever made its graph: ours (`serving-model.ts`) or somebody else (`imported/`). */
import type { Head } from "../onnx/transformer.ts";
import type { NamedAdapter } from "./adapter-bank.ts";
import type { BatchesOptions } from "./batches.ts";
import type { CacheBlock } from "./cache.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import type { PromptReader, ReadPrompt } from "./prompt-reader.ts";
import type { LogitsRow } from "./sampler.ts";
import type { Occupant } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";
import type { Distribution, Growing } from "./types.ts";

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
  /** @throws GatewayError invalid_request where no sequence grows by choice. */
  refuseGrowing(): void;
  /** For a sequence that grows by choice, where that was not refused. */
  createGrowth(prefixes: PrefixCache): Growth;
  dispose(): Promise<void>;
}

export interface Growth {
  /** Computes its prompt. */
  readonly reader: PromptReader;
  /** The sequence, from its prompt, computed to its end. It disposes the reader. */
  readonly grow: (parts: GrowthParts) => Growing<Distribution>;
}

export interface GrowthParts {
  readonly prompt: ReadPrompt;
  /** Lets runs of the model take turns with others. */
  readonly turn: <T>(task: () => Promise<T>) => Promise<T>;
  /** The same for giving memory back, also when nobody waits for the sequence any more. */
  readonly lastTurn: (task: () => Promise<void>) => Promise<void>;
  /** Gives back what was set aside for it. */
  readonly onClose: () => void;
}

/** Where running sequences are, each with its keys and values. */
export interface RunningBatches {
  /** Tokens that the budget holds. */
  readonly tokensMax: number;
  /** Taken by keys and values. */
  readonly bytes: number;
  /** Sets tokens aside; to be given back once. */
  reserve(tokens: number): () => void;
  /** Whether the budget holds it when nothing else runs. */
  couldHold(occupant: Occupant): boolean;
  /** Whether the budget holds these at once, and some further tokens. */
  fits(occupants: readonly Occupant[], further?: number): boolean;
  join(sequence: Sequence): Promise<void>;
  leave(leaving: ReadonlySet<Sequence>): Promise<void>;
  /** One new token for everything that runs. A run that fails harms no others than its own. */
  step(onFailure: (sequences: readonly Sequence[], cause: unknown) => void): Promise<void>;
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
