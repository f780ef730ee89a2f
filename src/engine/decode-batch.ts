/**
 * Sequences that run together, a new token or several for each a step: every one has a slot of the cache, slots are dense,
 * and the arrays that the graph reads and writes are bound once for each number of rows and tokens.
 */
import type { Tensor } from "../onnx/runtime/index.ts";
import type { AdapterBank } from "./adapter-bank.ts";
import { BLOCK_TOKENS, type CacheBlock, type SlotCache, wholeBlocks } from "./cache.ts";
import type { StepRow } from "./sampler.ts";
import type { BoundRun, GraphKind, ServingModel } from "./serving-model.ts";
import { disposeTensors, type HeadRow, type StepHead } from "./step-head.ts";

export interface DecodeRow extends HeadRow {
  /** The tokens to be appended, one at least. */
  readonly tokens: readonly number[];
  /** Id of the adapter it runs with; null: the model itself. */
  readonly adapter: string | null;
}

/** What has a slot. */
export interface BatchRow {
  /** The prompt's keys and values. */
  readonly blocks: readonly CacheBlock[];
  /** Tokens whose keys and values are in the cache, the prompt's among them. */
  readonly cachedTokens: number;
  /** What is to be run, up to so many tokens. */
  next(tokensMax: number): DecodeRow;
  /**
   * The model's output after each token of `next`; the arrays mean nothing after the call.
   * @param ms the row's share of the time the run took.
   */
  accept(outputs: readonly StepRow[], ms: number): void;
}

/** How a graph is told where each row's new tokens go. */
export interface RowPlaces {
  readonly graph: GraphKind;
  /** Of a row's tokens those that lie in no slot: the shared prefix. */
  readonly sharedTokens: number;
  /** Called before a run for every row, with how many tokens are in its slot. */
  write(row: number, ownTokens: number): void;
  /** The graph's inputs for so many rows of so many new tokens, with slots of so many. */
  inputs(rows: number, tokens: number, capacity: number): Record<string, Tensor>;
  dispose(): void;
}

export interface DecodeBatchOptions {
  readonly rowsMin: number;
  readonly rowsMax: number;
  /** New tokens of a row in one step; 1 when nothing is said. */
  readonly tokensMax?: number;
  /** New tokens of all rows in one step, where some have several. */
  readonly positionsMax?: number;
  /** How many tokens the batch's slots may hold room for, of which it needs `least`. */
  readonly allowance: (batch: DecodeBatch, least: number) => Promise<number>;
}

export class DecodeBatch<R extends BatchRow = BatchRow> {
  /** By slot. */
  readonly rows: R[] = [];
  readonly #cache: SlotCache;
  readonly #rowsMin: number;
  readonly #rowsMax: number;
  readonly #positionsMax: number;
  readonly #model: ServingModel;
  readonly #places: RowPlaces;
  readonly #options: DecodeBatchOptions;
  /** By rows and tokens, for the model's adapters of now. */
  readonly #bound = new Map<string, BoundRun>();
  #bank: AdapterBank | null = null;
  /** [positions, rank of the bank] */
  #columns: Tensor<"float32"> | null = null;
  readonly #in;
  readonly #head: StepHead;

  constructor(model: ServingModel, places: RowPlaces, options: DecodeBatchOptions) {
    const { runtime } = model;
    this.#model = model;
    this.#places = places;
    this.#options = options;
    this.#rowsMin = options.rowsMin;
    this.#rowsMax = Math.max(options.rowsMin, options.rowsMax);
    this.#cache = model.createCache();
    const positions = Math.max(this.#rowsMax, options.positionsMax ?? 0);
    this.#positionsMax = positions;
    const rows = BigInt64Array.from({ length: positions }, (_, i) => BigInt(i));
    this.#in = {
      input_ids: runtime.tensor("int64", [positions]),
      rows: runtime.tensor("int64", [positions], rows),
    };
    this.#head = model.createHead(positions);
  }

  /** Tokens that the slots hold room for. */
  get cacheTokens(): number {
    return this.#cache.slots * this.#cache.capacity;
  }

  /** New tokens that a row may have in the next step; fewer where many rows run, or where a slot would have to grow. */
  get tokensMax(): number {
    const { tokensMax = 1 } = this.#options;
    const rows = Math.max(this.rows.length, this.#rowsMin);
    const room = wholeBlocks(this.#longest + 1) - this.#longest;
    return Math.max(1, Math.min(tokensMax, Math.floor(this.#positionsMax / rows), room));
  }

  /** Gives the row a slot, in which its prompt lies unless it is shared. */
  async join(row: R): Promise<void> {
    const slot = this.rows.push(row) - 1;
    await this.#makeRoom();
    if (this.#places.sharedTokens === 0) await this.#cache.write(slot, row.blocks);
  }

  /** Frees slots; the last rows move into the holes. From the last slot down, so that whoever moves stays. */
  async leave(leaving: ReadonlySet<R>): Promise<void> {
    for (let slot = this.rows.length - 1; slot >= 0; slot--) {
      if (!leaving.has(this.rows[slot]!)) continue;
      const last = this.rows.length - 1;
      const moved = this.rows.pop()!;
      if (slot === last) continue;
      this.rows[slot] = moved;
      await this.#cache.copy(last, slot, this.#ownTokens(moved));
    }
  }

  /** Gives back the memory that no row needs now. */
  async trim(): Promise<void> {
    const [slots, capacity] = this.#least();
    if (slots < this.#cache.slots || capacity < this.#cache.capacity)
      await this.#resize(slots, capacity);
  }

  /** One step: every row's next tokens are run, and it is told what may come after each. */
  async step(): Promise<void> {
    await this.#makeRoom();
    const rows = [...this.rows];
    const tokensMax = this.tokensMax;
    const next = rows.map((row) => row.next(tokensMax));
    const before = this.#model.runMs;
    const outputs = await this.#run(rows, next);
    const tokens = next.reduce((sum, each) => sum + each.tokens.length, 0);
    const msPerToken = (this.#model.runMs - before) / tokens;
    for (const [i, row] of rows.entries()) {
      row.accept(outputs[i]!, msPerToken * next[i]!.tokens.length);
    }
  }

  dispose(): void {
    this.#dropBound();
    this.#columns?.dispose();
    for (const tensor of Object.values(this.#in)) tensor.dispose();
    this.#head.dispose();
    this.#places.dispose();
    this.#cache.dispose();
  }

  /** Appends row i's tokens to slot i. @returns [rows][tokens], valid until the next call. */
  async #run(rows: readonly R[], next: readonly DecodeRow[]): Promise<StepRow[][]> {
    const { input_ids: ids } = this.#in;
    this.#followAdapters();
    const tokens = Math.max(...next.map((each) => each.tokens.length));
    // What lies beyond the rows writes to free slots.
    const run = this.#cache.batchRows(Math.max(rows.length, this.#rowsMin));
    for (let slot = 0; slot < run; slot++) {
      const from = slot < rows.length ? slot : 0;
      const row = next[from]!;
      this.#places.write(slot, this.#ownTokens(rows[from]!));
      for (let t = 0; t < tokens; t++) {
        const at = slot * tokens + t;
        ids.data[at] = BigInt(row.tokens[t] ?? row.tokens[0]!); // what lies beyond a row's is overwritten later
        this.#head.fill(at, row);
        if (this.#columns) this.#bank!.writeColumns(this.#columns.data, at, row.adapter);
      }
    }
    const bound = this.#bound.get(`${run}x${tokens}`) ?? (await this.#bind(run, tokens));
    await bound.run();
    const asked = next.flatMap((row, slot) =>
      row.tokens.map((_, t) => [slot * tokens + t, row] as const),
    );
    const found = await this.#head.take(bound, new Map(asked));
    return next.map((row, slot) => row.tokens.map((_, t) => found.get(slot * tokens + t)!));
  }

  /** Makes the slots hold a further token of every row, and more, that the cache need not grow at every step. */
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

  #ownTokens({ cachedTokens }: R): number {
    return cachedTokens - this.#places.sharedTokens;
  }

  /** Tokens in the fullest slot. */
  get #longest(): number {
    return Math.max(0, ...this.rows.map((row) => this.#ownTokens(row)));
  }

  /** Slots, and tokens of each, for a further token of every row. */
  #least(): [slots: number, capacity: number] {
    return [Math.max(this.rows.length, this.#rowsMin), wholeBlocks(this.#longest + 1)];
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
    this.#columns = bank && runtime.tensor("float32", [this.#positionsMax, bank.rank]);
  }

  #dropBound(): void {
    for (const bound of this.#bound.values()) bound.dispose();
    this.#bound.clear();
  }

  async #bind(n: number, tokens: number): Promise<BoundRun> {
    const { past, present } = await this.#cache.firstSlots(n);
    const head = this.#head.views(n * tokens);
    const { input_ids: ids, ...others } = this.#in;
    const views = (tensors: Record<string, Tensor>) =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, tensor]) => [
          name,
          tensor.view([n * tokens, ...tensor.shape.slice(1)], 0),
        ]),
      );
    const made = {
      inputs: {
        input_ids: ids.view([n, tokens], 0),
        ...views(others),
        ...(this.#columns && views({ adapter_columns: this.#columns })),
        ...head.inputs,
        ...this.#places.inputs(n, tokens, this.#cache.capacity),
        ...past,
      },
      outputs: { ...head.outputs, ...present },
    };
    const bound = await this.#model.bind(made, this.#places.graph);
    // It holds what it binds; the views' own ends are given up here.
    disposeTensors([...Object.values(made.inputs), ...Object.values(made.outputs)]);
    this.#bound.set(`${n}x${tokens}`, bound);
    return bound;
  }
}
