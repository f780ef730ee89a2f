/**
 * Several new tokens of one sequence in one run: prompts, and the scoring of given completions. Works in
 * a cache slot of its own, from which results are copied to where they are needed.
 */
import type { Tensor } from "../onnx/runtime/index.ts";
import { type CacheBlock, type SlotCache, wholeBlocks } from "./cache.ts";
import { distributions, type HeadOutputs, scores } from "./head-outputs.ts";
import type { LogitsRow } from "./sampler.ts";
import type { ServingModel } from "./serving-model.ts";
import { disposeTensors } from "./step-head.ts";

export class PromptRunner {
  readonly #model: ServingModel;
  readonly #cache: SlotCache;

  constructor(model: ServingModel) {
    this.#model = model;
    this.#cache = model.createCache();
  }

  /** Makes the slot begin with these tokens' keys and values. */
  async write(blocks: readonly CacheBlock[]): Promise<void> {
    await this.#makeRoom(blocks.reduce((sum, { length }) => sum + length, 0));
    await this.#cache.write(0, blocks);
  }

  read(from: number, length: number): Promise<CacheBlock> {
    return this.#cache.read(0, from, length);
  }

  /**
   * Runs new tokens after the first `past` ones of the slot.
   * @param rows which of the new tokens reach the head.
   * @param options.temperature of the cdf, for a policy.
   */
  logits(
    tokens: readonly number[],
    past: number,
    rows: readonly number[],
    { temperature = 1, adapter = null }: { temperature?: number; adapter?: string | null } = {},
  ): Promise<LogitsRow[]> {
    const head = distributions(this.#model, rows.length, temperature);
    return this.#run({ tokens, past, rows, head, adapter });
  }

  /** What the score head says of each label, at some of the new tokens: [rows][labels]. */
  scores(
    tokens: readonly number[],
    past: number,
    rows: readonly number[],
  ): Promise<Float32Array[]> {
    return this.#run({ tokens, past, rows, head: scores(this.#model, rows.length), adapter: null });
  }

  /** New tokens whose keys and values alone are wanted. */
  async extend(
    tokens: readonly number[],
    past: number,
    adapter: string | null = null,
  ): Promise<void> {
    if (this.#model.head === "scores") await this.scores(tokens, past, [tokens.length - 1]);
    else await this.logits(tokens, past, [tokens.length - 1], { adapter });
  }

  dispose(): void {
    this.#cache.dispose();
  }

  /** The graph's input that says whose columns count; none while there are no adapters. */
  #columns(rows: number, adapter: string | null): Record<string, Tensor> {
    const { bank, runtime } = this.#model;
    if (!bank) return {};
    const columns = runtime.tensor("float32", [rows, bank.rank]);
    for (let row = 0; row < rows; row++) bank.writeColumns(columns.data, row, adapter);
    return { adapter_columns: columns };
  }

  /** Makes the slot hold so many tokens at least; what it holds stays. */
  async #makeRoom(tokens: number): Promise<void> {
    if (tokens > this.#cache.capacity) await this.#cache.resize(1, wholeBlocks(tokens));
  }

  async #run<Output>({ tokens, past, rows, head, adapter }: PromptRun<Output>): Promise<Output[]> {
    const { runtime } = this.#model;
    const length = past + tokens.length;
    await this.#makeRoom(length);
    const inputs = {
      input_ids: runtime.tensor("int64", [1, tokens.length], BigInt64Array.from(tokens, BigInt)),
      lengths: runtime.tensor("int32", [1], Int32Array.of(length - 1)),
      total: runtime.tensor("int32", [], Int32Array.of(length)),
      rows: runtime.tensor("int64", [rows.length], BigInt64Array.from(rows, BigInt)),
      ...this.#columns(tokens.length, adapter),
    };
    const slot = await this.#cache.firstSlots(1);
    const bound = await this.#model.bind({
      inputs: { ...inputs, ...head.inputs, ...slot.past },
      outputs: { ...head.outputs, ...slot.present },
    });
    try {
      await bound.run();
      return await head.read(bound);
    } finally {
      bound.dispose();
      head.dispose();
      disposeTensors([...Object.values(inputs), ...Object.values(slot).flatMap(Object.values)]);
    }
  }
}

interface PromptRun<Output> {
  readonly tokens: readonly number[];
  readonly past: number;
  readonly rows: readonly number[];
  readonly head: HeadOutputs<Output>;
  readonly adapter: string | null;
}
