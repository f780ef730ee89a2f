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
import { prefixInputs, severalInputs } from "./row-places.ts";
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
  /** The same for giving memory back, also when nobody waits for the sequence any more. */
  readonly lastTurn: (task: () => Promise<void>) => Promise<void>;
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
   * @param tails what is run behind each, for its output alone.
   * @returns the model's output after each, or after its tail; nothing is appended.
   */
  branch(ids: readonly number[], tails: readonly (readonly number[])[] = []): Promise<Output[]> {
    assert(ids.length > 0, "there is nothing to branch to");
    const alternatives = ids.map((id, i) => [id, ...(tails[i] ?? [])]);
    return this.#parts.turn(() => this.#branch(alternatives));
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

  append(id: number): Promise<Output> {
    return this.#parts.turn(async () => {
      assert(!this.#closed, "the sequence was closed");
      const { reader, head, prompt } = this.#parts;
      await reader.makeResident(prompt);
      const adapter = prompt.adapter?.id ?? null;
      const output = await reader.runner.next(id, this.#ids.length, head(1), adapter);
      this.#ids.push(id);
      this.#alternatives = [];
      prompt.work.tokensRun += 1;
      return output;
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    void this.#parts.lastTurn(async () => {
      this.#branches.dispose();
      this.#parts.reader.dispose();
    });
    this.#parts.onClose?.();
  }

  async #branch(alternatives: readonly (readonly number[])[]): Promise<Output[]> {
    assert(!this.#closed, "the sequence was closed");
    const { model, reader, head } = this.#parts;
    const { runner } = reader;
    await reader.makeResident(this.#parts.prompt);
    const rows = Math.max(alternatives.length, ROWS_MIN, model.rowsMin);
    const tokens = Math.max(...alternatives.map(({ length }) => length));
    const { slots, capacity: places } = this.#branches;
    if (rows > slots || tokens > places) {
      await this.#branches.resize(Math.max(rows, slots), tokens);
    }
    const outputs = head(alternatives.length);
    const { inputs: prefix, capacity } = runner.prefix();
    const { past, present } = this.#branches.firstSlots(rows);
    const step = this.#stepInputs(alternatives, { rows, tokens, capacity });
    const inputs = { ...step, ...prefix, ...past };
    const bound = await model.bind(
      { inputs: { ...inputs, ...outputs.inputs }, outputs: { ...outputs.outputs, ...present } },
      "shared-prefix",
    );
    try {
      await bound.run();
      this.#alternatives = alternatives.map(([id]) => id!);
      this.#parts.prompt.work.tokensRun += alternatives.reduce(
        (sum, { length }) => sum + length,
        0,
      );
      return await outputs.read(bound);
    } finally {
      bound.dispose();
      outputs.dispose();
      for (const tensor of [...Object.values(inputs), ...Object.values(present)]) {
        if (!tensor.disposed) tensor.dispose();
      }
    }
  }

  /** Rows and places beyond the alternatives repeat a token: nothing that is read sees them. */
  #stepInputs(
    alternatives: readonly (readonly number[])[],
    { rows, tokens, capacity }: { rows: number; tokens: number; capacity: number },
  ): Record<string, Tensor> {
    const { runtime, bank } = this.#parts.model;
    const ids = BigInt64Array.from({ length: rows * tokens }, (_, at) => {
      const alternative = alternatives[Math.floor(at / tokens)] ?? alternatives[0]!;
      return BigInt(alternative[at % tokens] ?? alternative[0]!);
    });
    const ends = alternatives.map(({ length }, row) => BigInt(row * tokens + length - 1));
    const own = runtime.tensor("int64", [rows]);
    const columns = bank && runtime.tensor("float32", [rows * tokens, bank.rank]);
    const adapter = this.#parts.prompt.adapter?.id ?? null;
    for (let row = 0; row < rows * tokens; row++) {
      if (columns) bank.writeColumns(columns.data, row, adapter);
    }
    return {
      input_ids: runtime.tensor("int64", [rows, tokens], ids),
      rows: runtime.tensor("int64", [ends.length], BigInt64Array.from(ends)),
      ...(columns && { adapter_columns: columns }),
      ...severalInputs(runtime, own, { rows, tokens, capacity: this.#branches.capacity }),
      ...prefixInputs(runtime, this.#ids.length, capacity),
    };
  }
}
