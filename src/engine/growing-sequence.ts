/**
 * A sequence that grows by choice: alternatives for its next token are run side by side, none seeing another, and the
 * one that is chosen becomes part of it without being run again. For guided decoding, by policy and reward model alike.
 */
import { assert } from "../base/assert.ts";
import type { Tensor } from "../onnx/runtime/index.ts";
import type { KvCache } from "./cache.ts";
import type { HeadOutputs } from "./head-outputs.ts";
import { type Kept, KeptRun } from "./kept-run.ts";
import type { PromptReader, ReadPrompt } from "./prompt-reader.ts";
import type { PromptRunner, Stepping } from "./prompt-runner.ts";
import { counting, severalInputs } from "./row-places.ts";
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
  /** Of what it gives, for the next run writes over it. */
  readonly copy: (output: Output) => Output;
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
  readonly #kept: KeptRun<BranchInputs, Output>;
  readonly #stepping: Stepping<Output>;
  #alternatives: readonly number[] = [];
  #closed = false;

  /** @param parts.prompt computed to its end. */
  constructor(parts: GrowingParts<Output>) {
    assert(parts.prompt.isDone, "a prompt must be computed before it grows");
    this.#parts = parts;
    this.#ids = [...parts.prompt.tokens];
    this.#branches = parts.model.createPrefix();
    this.#kept = new KeptRun(parts.model);
    const adapter = parts.prompt.adapter?.id ?? null;
    this.#stepping = parts.reader.runner.stepping(() => parts.head(1), adapter);
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
      const { reader, copy, prompt } = this.#parts;
      await reader.makeResident(prompt);
      const output = copy(await this.#stepping.next(id, this.#ids.length));
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
      this.#kept.drop();
      this.#stepping.dispose();
      this.#branches.dispose();
      this.#parts.reader.dispose();
    });
    this.#parts.onClose?.();
  }

  async #branch(alternatives: readonly (readonly number[])[]): Promise<Output[]> {
    assert(!this.#closed, "the sequence was closed");
    const { model, reader, copy, prompt } = this.#parts;
    await reader.makeResident(prompt);
    const rows = Math.max(alternatives.length, ROWS_MIN, model.rowsMin);
    const tokens = Math.max(...alternatives.map(({ length }) => length));
    const { slots, capacity } = this.#branches;
    if (rows > slots || tokens > capacity) {
      this.#kept.drop();
      await this.#branches.resize(Math.max(rows, slots), tokens);
    }
    const shape = { rows, tokens, outputs: alternatives.length };
    const key = [...Object.values(shape), reader.runner.capacity, this.#branches.capacity].join();
    const { in: inputs, bound, head } = await this.#kept.get(key, () => this.#bind(shape));
    // Rows and places beyond the alternatives repeat a token: nothing that is read sees them.
    for (let at = 0; at < rows * tokens; at++) {
      const alternative = alternatives[Math.floor(at / tokens)] ?? alternatives[0]!;
      inputs.input_ids.data[at] = BigInt(alternative[at % tokens] ?? alternative[0]!);
    }
    for (const [row, { length }] of alternatives.entries()) {
      inputs.rows.data[row] = BigInt(row * tokens + length - 1);
    }
    inputs.prefix_tokens.data[0] = BigInt(this.#ids.length);
    await bound.run();
    this.#alternatives = alternatives.map(([id]) => id!);
    prompt.work.tokensRun += alternatives.reduce((sum, { length }) => sum + length, 0);
    return (await head.read(bound)).map(copy);
  }

  async #bind({ rows, tokens, outputs }: BranchShape): Promise<Kept<BranchInputs, Output>> {
    const { model, reader, prompt } = this.#parts;
    const { runtime, bank } = model;
    const head = this.#parts.head(outputs);
    const changing = {
      input_ids: runtime.tensor("int64", [rows, tokens]),
      rows: runtime.tensor("int64", [outputs]),
      prefix_tokens: runtime.tensor("int64", []),
    };
    const none = runtime.tensor("int64", [rows]); // own tokens before this step
    const columns = bank && runtime.tensor("float32", [rows * tokens, bank.rank]);
    for (let row = 0; row < rows * tokens; row++) {
      if (columns) bank.writeColumns(columns.data, row, prompt.adapter?.id ?? null);
    }
    const { past, present } = this.#branches.firstSlots(rows);
    const inputs = {
      ...severalInputs(runtime, none, { rows, tokens, capacity: this.#branches.capacity }),
      ...changing,
      prefix_places: counting(runtime, reader.runner.capacity),
      ...(columns && { adapter_columns: columns }),
      ...reader.runner.prefix(),
      ...past,
    };
    const bound = await model.bind(
      { inputs: { ...inputs, ...head.inputs }, outputs: { ...head.outputs, ...present } },
      "shared-prefix",
    );
    const tensors = [none, ...Object.values<Tensor>(inputs), ...Object.values(present)];
    return { in: changing, bound, head, tensors };
  }
}

interface BranchShape {
  readonly rows: number;
  readonly tokens: number;
  /** Alternatives: the first rows. */
  readonly outputs: number;
}

interface BranchInputs {
  readonly input_ids: Tensor<"int64">;
  readonly rows: Tensor<"int64">;
  readonly prefix_tokens: Tensor<"int64">;
}
