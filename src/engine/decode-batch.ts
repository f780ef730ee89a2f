/**
 * Sequences that run together, one new token for each a step: every one has a slot of the cache, slots are dense, and the
 * arrays that the graph reads and writes are bound once for each number of rows.
 */
import type { Tensor } from "../onnx/runtime/index.ts";
import type { AdapterBank } from "./adapter-bank.ts";
import { BLOCK_TOKENS, type KvCache, wholeBlocks } from "./cache.ts";
import type { LogitsRow } from "./sampler.ts";
import type { Sequence } from "./sequence.ts";
import type { BoundRun, GraphKind, ServingModel } from "./serving-model.ts";

export interface DecodeRow {
  /** The token to be appended. */
  readonly token: number;
  /** Tokens before it, the prompt's among them. */
  readonly past: number;
  readonly temperature: number;
  /** Id of the adapter it runs with; null: the model itself. */
  readonly adapter: string | null;
}

/** How a graph is told where each row's new token goes. */
export interface RowPlaces {
  readonly graph: GraphKind;
  /** Of a row's tokens those that lie in no slot: the shared prefix. */
  readonly sharedTokens: number;
  /** Called before a run for every row, with how many tokens are in its slot. */
  write(row: number, ownTokens: number): void;
  /** The graph's inputs for so many rows, with slots of so many tokens. */
  inputs(rows: number, capacity: number): Record<string, Tensor>;
  dispose(): void;
}

export interface DecodeBatchOptions {
  readonly rowsMin: number;
  readonly rowsMax: number;
  /** How many tokens the batch's slots may hold room for, of which it needs `least`. */
  readonly allowance: (batch: DecodeBatch, least: number) => Promise<number>;
}

export class DecodeBatch {
  /** By slot. */
  readonly sequences: Sequence[] = [];
  readonly #cache: KvCache;
  readonly #rowsMin: number;
  readonly #rowsMax: number;
  readonly #model: ServingModel;
  readonly #places: RowPlaces;
  readonly #options: DecodeBatchOptions;
  /** By rows, for the model's adapters of now. */
  readonly #bound = new Map<number, BoundRun>();
  #bank: AdapterBank | null = null;
  /** [rows, rank of the bank] */
  #columns: Tensor<"float32"> | null = null;
  readonly #in;
  readonly #out;

  constructor(model: ServingModel, places: RowPlaces, options: DecodeBatchOptions) {
    const { runtime, config } = model;
    this.#model = model;
    this.#places = places;
    this.#options = options;
    this.#rowsMin = options.rowsMin;
    this.#rowsMax = Math.max(options.rowsMin, options.rowsMax);
    this.#cache = model.createCache();
    const rows = this.#rowsMax;
    this.#in = {
      input_ids: runtime.tensor("int64", [rows, 1]),
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

  /** Tokens that the slots hold room for. */
  get cacheTokens(): number {
    return this.#cache.slots * this.#cache.capacity;
  }

  /** Gives the sequence a slot, in which its prompt lies unless it is shared. */
  async join(sequence: Sequence): Promise<void> {
    const slot = this.sequences.push(sequence) - 1;
    await this.#makeRoom();
    if (this.#places.sharedTokens === 0)
      await this.#cache.write(slot, sequence.request.prompt.blocks);
  }

  /** Frees slots; the last sequences move into the holes. From the last slot down, so that whoever moves stays. */
  async leave(leaving: ReadonlySet<Sequence>): Promise<void> {
    for (let slot = this.sequences.length - 1; slot >= 0; slot--) {
      if (!leaving.has(this.sequences[slot]!)) continue;
      const last = this.sequences.length - 1;
      const moved = this.sequences.pop()!;
      if (slot === last) continue;
      this.sequences[slot] = moved;
      await this.#cache.copy(last, slot, this.#ownTokens(moved));
    }
  }

  /** Gives back the memory that no sequence needs now. */
  async trim(): Promise<void> {
    const [slots, capacity] = this.#least();
    if (slots < this.#cache.slots || capacity < this.#cache.capacity)
      await this.#resize(slots, capacity);
  }

  /** One step: every sequence's last token is run, and tells it what may come next. */
  async step(): Promise<void> {
    await this.#makeRoom();
    const sequences = [...this.sequences];
    const rows = await this.#run(sequences.map((sequence) => sequence.decodeRow()));
    for (const [i, sequence] of sequences.entries()) sequence.accept(rows[i]!);
  }

  dispose(): void {
    this.#dropBound();
    this.#columns?.dispose();
    for (const tensor of [...Object.values(this.#in), ...Object.values(this.#out)])
      tensor.dispose();
    this.#places.dispose();
    this.#cache.dispose();
  }

  /** Appends row i's token to slot i. @returns one row each, valid until the next call. */
  async #run(rows: readonly DecodeRow[]): Promise<LogitsRow[]> {
    const { input_ids: ids, temperature } = this.#in;
    this.#followAdapters();
    const run = Math.max(rows.length, this.#rowsMin); // what lies beyond the rows writes to free slots
    Array.from({ length: run }, (_, i) => rows[i] ?? rows[0]!).forEach((row, i) => {
      ids.data[i] = BigInt(row.token);
      temperature.data[i] = row.temperature || 1; // greedy rows read no cdf
      this.#places.write(i, row.past - this.#places.sharedTokens);
      if (this.#columns) this.#bank!.writeColumns(this.#columns.data, i, row.adapter);
    });
    const bound = this.#bound.get(run) ?? (await this.#bind(run));
    await bound.run();
    const { vocabSize } = this.#model.config;
    const { logits, log_sum_exp: logSumExp, cdf } = this.#out;
    return rows.map((_, i) => ({
      logits: logits.data.subarray(i * vocabSize, (i + 1) * vocabSize),
      logSumExp: logSumExp.data[i]!,
      cdf: cdf.data.subarray(i * vocabSize, (i + 1) * vocabSize),
    }));
  }

  /** Makes the slots hold a further token of every sequence, and more, that the cache need not grow at every step. */
  async #makeRoom(): Promise<void> {
    const { slots, capacity } = this.#cache;
    const [leastSlots, leastCapacity] = this.#least();
    if (leastSlots <= slots && leastCapacity <= capacity) return;
    const tokensMax = await this.#options.allowance(this, leastSlots * leastCapacity);
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
    await this.#resize(sizes[0]!, sizes[1]!);
  }

  #ownTokens({ cachedTokens }: Sequence): number {
    return cachedTokens - this.#places.sharedTokens;
  }

  /** Slots, and tokens of each, for a further token of every sequence. */
  #least(): [slots: number, capacity: number] {
    const longest = Math.max(0, ...this.sequences.map((sequence) => this.#ownTokens(sequence)));
    return [Math.max(this.sequences.length, this.#rowsMin), wholeBlocks(longest + 1)];
  }

  async #resize(slots: number, capacity: number): Promise<void> {
    this.#dropBound();
    await this.#cache.resize(slots, capacity);
  }

  /** After the model got other adapters nothing bound before fits its graph. */
  #followAdapters(): void {
    const { bank, runtime } = this.#model;
    if (bank === this.#bank) return;
    this.#dropBound();
    this.#columns?.dispose();
    this.#bank = bank;
    this.#columns = bank && runtime.tensor("float32", [this.#rowsMax, bank.rank]);
  }

  #dropBound(): void {
    for (const bound of this.#bound.values()) bound.dispose();
    this.#bound.clear();
  }

  async #bind(n: number): Promise<BoundRun> {
    const { past, present } = this.#cache.firstSlots(n);
    const views = (tensors: Record<string, Tensor>) =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [
          name,
          tensor.view([n, ...tensor.shape.slice(1)], 0),
        ]),
      );
    const made = {
      inputs: {
        ...views(this.#in),
        ...(this.#columns && views({ adapter_columns: this.#columns })),
        ...this.#places.inputs(n, this.#cache.capacity),
        ...past,
      },
      outputs: { ...views(this.#out), ...present },
    };
    const bound = await this.#model.bind(made, this.#places.graph);
    // It holds what it binds; the views' own ends are given up here.
    for (const tensor of [...Object.values(made.inputs), ...Object.values(made.outputs)]) {
      if (!tensor.disposed) tensor.dispose();
    }
    this.#bound.set(n, bound);
    return bound;
  }
}
