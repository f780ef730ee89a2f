/**
 * A sequence that grows by choice: alternatives for its next token are run side by side, none seeing another, and the
 * one that is chosen becomes part of it without being run again. For guided decoding, by policy and reward model alike.
 */
import { assert } from "../base/assert.ts";
import type { Tensor } from "../onnx/runtime/index.ts";
import type { KvCache } from "./cache.ts";
import type { HeadOutputs } from "./head-outputs.ts";
import type { PromptReader, ReadPrompt } from "./prompt-reader.ts";
import type { PromptRunner } from "./prompt-runner.ts";
import { counting, prefixInputs, severalInputs } from "./row-places.ts";
import type { ServingModel } from "./serving-model.ts";
import type { Growing } from "./types.ts";

/** A single row's products would be summed in another order. */
const ROWS_MIN = 2;

export interface GrowingParts<Output> {
  readonly model: ServingModel;
  /** Whose slot becomes the sequence's; it is disposed with the sequence. */
  readonly reader: PromptReader<PromptRunner>;
  readonly prompt: ReadPrompt;
  /** What the head gives at so many positions. */
  readonly head: (positions: number) => HeadOutputs<Output>;
  /** Lets runs of the model take turns with others. */
  readonly turn: <T>(task: () => Promise<T>) => Promise<T>;
  /** Gives back what was set aside for it. */
  readonly onClose?: () => void;
}

export class GrowingSequence<Output> implements Growing<Output> {
  readonly #parts: GrowingParts<Output>;
  readonly #ids: number[];
  /** A slot for each alternative. */
  readonly #branches: KvCache;
  #alternatives: readonly number[] = [];
  #closed = false;

  /** @param parts.prompt computed to its end. */
  constructor(parts: GrowingParts<Output>) {
    assert(parts.prompt.isDone, "a prompt must be computed before it grows");
    this.#parts = parts;
    this.#ids = [...parts.prompt.tokens];
    this.#branches = parts.model.createPrefix();
  }

  /** The prompt's tokens, and those that were appended. */
  get ids(): readonly number[] {
    return this.#ids;
  }

  /**
   * @param ids alternatives for the next token.
   * @returns the model's output after each; nothing is appended.
   */
  branch(ids: readonly number[]): Promise<Output[]> {
    assert(ids.length > 0, "there is nothing to branch to");
    return this.#parts.turn(() => this.#branch(ids));
  }

  /** Appends one of the alternatives of the last `branch`, by its index. */
  accept(index: number): Promise<void> {
    const id = this.#alternatives[index];
    assert(id !== undefined, `there is no alternative ${index} of ${this.#alternatives.length}`);
    return this.#parts.turn(async () => {
      assert(!this.#closed, "the sequence was closed");
      const block = await this.#branches.read(index, 0, 1);
      await this.#parts.reader.runner.append(block, this.#ids.length);
      this.#ids.push(id);
      this.#alternatives = [];
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    void this.#parts.turn(async () => {
      this.#branches.dispose();
      this.#parts.reader.dispose();
    });
    this.#parts.onClose?.();
  }

  async #branch(ids: readonly number[]): Promise<Output[]> {
    assert(!this.#closed, "the sequence was closed");
    const { model, reader, head } = this.#parts;
    const { runner } = reader;
    await reader.makeResident(this.#parts.prompt);
    const rows = Math.max(ids.length, ROWS_MIN, model.rowsMin);
    if (rows > this.#branches.slots) await this.#branches.resize(rows, 1);
    const outputs = head(ids.length);
    const { inputs: prefix, capacity } = runner.prefix();
    const { past, present } = this.#branches.firstSlots(rows);
    const inputs = { ...this.#stepInputs(ids, rows, capacity), ...prefix, ...past };
    const bound = await model.bind(
      { inputs: { ...inputs, ...outputs.inputs }, outputs: { ...outputs.outputs, ...present } },
      "shared-prefix",
    );
    try {
      await bound.run();
      this.#alternatives = ids;
      return await outputs.read(bound);
    } finally {
      bound.dispose();
      outputs.dispose();
      for (const tensor of [...Object.values(inputs), ...Object.values(present)]) {
        if (!tensor.disposed) tensor.dispose();
      }
    }
  }

  #stepInputs(ids: readonly number[], rows: number, capacity: number): Record<string, Tensor> {
    const { runtime, bank } = this.#parts.model;
    const tokens = BigInt64Array.from({ length: rows }, (_, i) => BigInt(ids[i] ?? ids[0]!));
    const own = runtime.tensor("int64", [rows]);
    const columns = bank && runtime.tensor("float32", [rows, bank.rank]);
    const adapter = this.#parts.prompt.adapter?.id ?? null;
    for (let row = 0; row < rows; row++) if (columns) bank.writeColumns(columns.data, row, adapter);
    return {
      input_ids: runtime.tensor("int64", [rows, 1], tokens),
      rows: counting(runtime, ids.length),
      ...(columns && { adapter_columns: columns }),
      ...severalInputs(runtime, own, { rows, tokens: 1, capacity: this.#branches.capacity }),
      ...prefixInputs(runtime, this.#ids.length, capacity),
    };
  }
}
