/** One new token for each of the first n slots: the arrays the graph reads and writes, bound once per n. */
import type { Binding, Tensor } from "../onnx/runtime/index.ts";
import type { AdapterBank } from "./adapter-bank.ts";
import { BLOCK_TOKENS, type KvCache, wholeBlocks } from "./cache.ts";
import type { LogitsRow } from "./sampler.ts";
import type { ServingModel } from "./serving-model.ts";

export interface DecodeRow {
  /** The token to be appended. */
  readonly token: number;
  /** Tokens in the slot before it. */
  readonly past: number;
  readonly temperature: number;
  /** Id of the adapter it runs with; null: the model itself. */
  readonly adapter: string | null;
}

export class DecodeBatch {
  readonly cache: KvCache;
  readonly #rowsMax: number;
  readonly #model: ServingModel;
  /** By rows, for the model's adapters of now. */
  readonly #bindings = new Map<number, Binding>();
  #bank: AdapterBank | null = null;
  /** [rows, rank of the bank] */
  #columns: Tensor<"float32"> | null = null;
  readonly #in;
  readonly #out;

  constructor(model: ServingModel, rowsMax: number) {
    const { runtime, config } = model;
    this.#model = model;
    const rows = Math.max(rowsMax, model.rowsMin);
    this.#rowsMax = rows;
    this.cache = model.createCache();
    this.#in = {
      input_ids: runtime.tensor("int64", [rows, 1]),
      lengths: runtime.tensor("int32", [rows]),
      total: runtime.tensor("int32", []),
      rows: runtime.tensor(
        "int64",
        [rows],
        BigInt64Array.from({ length: rows }, (_, i) => BigInt(i)),
      ),
      temperature: runtime.tensor("float32", [rows, 1]),
    };
    this.#out = {
      logits: runtime.tensor("float32", [rows, config.vocabSize]),
      log_sum_exp: runtime.tensor("float32", [rows]),
      cdf: runtime.tensor("float32", [rows, config.vocabSize]),
    };
  }

  /**
   * Makes the cache hold so many slots of so many tokens, or more, that it need not grow at every step.
   * @param tokensMax of all slots together; enough for what is asked.
   */
  makeRoom(rows: number, tokens: number, tokensMax: number): void {
    const { slots, capacity } = this.cache;
    const [leastSlots, leastCapacity] = [Math.max(rows, this.#model.rowsMin), wholeBlocks(tokens)];
    if (leastSlots <= slots && leastCapacity <= capacity) return;
    const roomySlots = Math.min(
      this.#rowsMax,
      Math.max(slots, 2 ** Math.ceil(Math.log2(leastSlots))),
    );
    const doubled = BLOCK_TOKENS * 2 ** Math.ceil(Math.log2(leastCapacity / BLOCK_TOKENS));
    const context = wholeBlocks(this.#model.config.contextTokens);
    const roomyCapacity = Math.max(capacity, Math.min(doubled, context));
    const sizes = [
      [roomySlots, roomyCapacity],
      [leastSlots, roomyCapacity],
      [roomySlots, leastCapacity],
    ].find(([n, size]) => n! * size! <= tokensMax) ?? [leastSlots, leastCapacity];
    this.#dropBindings();
    this.cache.resize(sizes[0]!, sizes[1]!);
  }

  /** Appends row i's token to slot i. @returns one row each, valid until the next call. */
  async run(rows: readonly DecodeRow[]): Promise<LogitsRow[]> {
    const { input_ids: ids, lengths, total, temperature } = this.#in;
    this.#followAdapters();
    const run = Math.max(rows.length, this.#model.rowsMin); // what lies beyond the rows writes to free slots
    Array.from({ length: run }, (_, i) => rows[i] ?? rows[0]!).forEach((row, i) => {
      ids.data[i] = BigInt(row.token);
      lengths.data[i] = row.past; // tokens in the slot after this step, less one
      temperature.data[i] = row.temperature || 1; // greedy rows read no cdf
      if (this.#columns) this.#bank!.writeColumns(this.#columns.data, i, row.adapter);
    });
    total.data[0] = 1 + Math.max(...rows.map((row) => row.past));
    await this.#model.run(this.#binding(run));
    const { vocabSize } = this.#model.config;
    const { logits, log_sum_exp: logSumExp, cdf } = this.#out;
    return rows.map((_, i) => ({
      logits: logits.data.subarray(i * vocabSize, (i + 1) * vocabSize),
      logSumExp: logSumExp.data[i]!,
      cdf: cdf.data.subarray(i * vocabSize, (i + 1) * vocabSize),
    }));
  }

  dispose(): void {
    this.#dropBindings();
    this.#columns?.dispose();
    for (const tensor of [...Object.values(this.#in), ...Object.values(this.#out)])
      tensor.dispose();
    this.cache.dispose();
  }

  /** After the model got other adapters nothing bound before fits its graph. */
  #followAdapters(): void {
    const { bank, runtime } = this.#model;
    if (bank === this.#bank) return;
    this.#dropBindings();
    this.#columns?.dispose();
    this.#bank = bank;
    this.#columns = bank && runtime.tensor("float32", [this.#rowsMax, bank.rank]);
  }

  #dropBindings(): void {
    for (const binding of this.#bindings.values()) binding.dispose();
    this.#bindings.clear();
  }

  #binding(n: number): Binding {
    const known = this.#bindings.get(n);
    if (known) return known;
    const { past, present } = this.cache.firstSlots(n);
    const view = (tensor: Tensor) =>
      tensor.view(tensor.shape.length ? [n, ...tensor.shape.slice(1)] : [], 0);
    const views = (tensors: Record<string, Tensor>) =>
      Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, view(tensor)]));
    const made = {
      inputs: {
        ...views(this.#in),
        ...(this.#columns && views({ adapter_columns: this.#columns })),
        ...past,
      },
      outputs: { ...views(this.#out), ...present },
    };
    const binding = this.#model.bind(made);
    // The binding holds what it binds; the views' own ends are given up here.
    for (const tensor of [...Object.values(made.inputs), ...Object.values(made.outputs)]) {
      if (!tensor.disposed) tensor.dispose();
    }
    this.#bindings.set(n, binding);
    return binding;
  }
}
