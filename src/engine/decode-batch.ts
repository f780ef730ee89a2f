/**
 * Sequences that run together, a new token or several for each a step: every one has a slot of the cache, slots are dense,
 * and the arrays that the graph reads and writes are bound once for each number of rows and tokens.
 */
import type { Tensor } from "../onnx/runtime/index.ts";
import type { AdapterBank } from "./adapter-bank.ts";
import { type SlotCache, wholeBlocks } from "./cache.ts";
import { DenseSlots, type SlotRow } from "./dense-slots.ts";
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
export interface BatchRow extends SlotRow {
  /** Tokens whose keys and values are in the cache, the prompt's among them. */
  readonly cachedTokens: number;
  /** Whether there is nothing to run until its next token comes from outside. */
  readonly sitsOut: boolean;
  /** What is to be run, up to so many tokens. */
  next(tokensMax: number): DecodeRow;
  /**
   * The model's output after each token of `next`; the arrays mean nothing after the call.
   * @param ms the row's share of the time the run took.
   */
  accept(outputs: readonly StepRow[], ms: number): void;
}

/** In place of a row that sits out a step between others: what it writes, its next token overwrites. */
const idle: DecodeRow = {
  tokens: [],
  temperature: 1,
  uniform: 0,
  wantsLogits: false,
  adapter: null,
};

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

export interface DecodeBatchOptions<R extends BatchRow> {
  readonly rowsMin: number;
  readonly rowsMax: number;
  /** New tokens of a row in one step; 1 when nothing is said. */
  readonly tokensMax?: number;
  /** New tokens of all rows in one step, where some have several. */
  readonly positionsMax?: number;
  /** How many tokens the batch's slots may hold room for, of which it needs `least`. */
  readonly allowance: (batch: DecodeBatch<R>, least: number) => Promise<number>;
}

export class DecodeBatch<R extends BatchRow> {
  readonly #cache: SlotCache;
  readonly #slots: DenseSlots<R>;
  readonly #rowsMin: number;
  readonly #positionsMax: number;
  readonly #model: ServingModel;
  readonly #places: RowPlaces;
  readonly #options: DecodeBatchOptions<R>;
  /** By rows and tokens, for the model's adapters of now. */
  readonly #bound = new Map<string, BoundRun>();
  #bank: AdapterBank | null = null;
  /** [positions, rank of the bank] */
  #columns: Tensor<"float32"> | null = null;
  readonly #in;
  readonly #head: StepHead;

  constructor(model: ServingModel, places: RowPlaces, options: DecodeBatchOptions<R>) {
    const { runtime } = model;
    this.#model = model;
    this.#places = places;
    this.#options = options;
    this.#rowsMin = options.rowsMin;
    const rowsMax = Math.max(options.rowsMin, options.rowsMax);
    this.#cache = model.createCache();
    this.#slots = new DenseSlots<R>(this.#cache, {
      rowsMin: options.rowsMin,
      rowsMax,
      contextTokens: model.config.contextTokens,
      tokensOf: (row) => this.#ownTokens(row),
      allowance: (least) => options.allowance(this, least),
      onMove: () => this.#dropBound(),
    });
    const positions = Math.max(rowsMax, options.positionsMax ?? 0);
    this.#positionsMax = positions;
    const rows = BigInt64Array.from({ length: positions }, (_, i) => BigInt(i));
    this.#in = {
      input_ids: runtime.tensor("int64", [positions]),
      rows: runtime.tensor("int64", [positions], rows),
    };
    this.#head = model.createHead(positions);
  }

  /** By slot. */
  get rows(): readonly R[] {
    return this.#slots.rows;
  }

  /** Tokens that the slots hold room for. */
  get cacheTokens(): number {
    return this.#cache.slots * this.#cache.capacity;
  }

  /** New tokens that a row may have in the next step; fewer where many rows run, or where a slot would have to grow. */
  get tokensMax(): number {
    const { tokensMax = 1 } = this.#options;
    const rows = Math.max(this.rows.length, this.#rowsMin);
    const { longest } = this.#slots;
    const room = wholeBlocks(longest + 1) - longest;
    return Math.max(1, Math.min(tokensMax, Math.floor(this.#positionsMax / rows), room));
  }

  /** Gives the row a slot, in which its prompt lies unless it is shared. */
  join(row: R): Promise<void> {
    return this.#slots.join(row, { written: this.#places.sharedTokens === 0 });
  }

  /** Frees slots. */
  leave(leaving: ReadonlySet<R>): Promise<void> {
    return this.#slots.leave(leaving);
  }

  /** Gives back the memory that no row needs now. */
  trim(): Promise<void> {
    return this.#slots.trim();
  }

  /** One step: the next tokens of every row that does not sit out are run, and it is told what may come after each. */
  async step(): Promise<void> {
    const rows = this.rows.slice(0, this.rows.findLastIndex(({ sitsOut }) => !sitsOut) + 1);
    if (rows.length === 0) return;
    await this.#slots.makeRoom();
    const tokensMax = this.tokensMax;
    const next = rows.map((row) => (row.sitsOut ? idle : row.next(tokensMax)));
    const before = this.#model.runMs;
    const outputs = await this.#run(next);
    const tokens = next.reduce((sum, each) => sum + each.tokens.length, 0);
    const msPerToken = (this.#model.runMs - before) / tokens;
    for (const [i, row] of rows.entries()) {
      const count = next[i]!.tokens.length;
      if (count > 0) row.accept(outputs[i]!, msPerToken * count);
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

  /** Appends tokens to the first slots. @returns [rows][tokens], valid until the next call. */
  async #run(next: readonly DecodeRow[]): Promise<StepRow[][]> {
    const { input_ids: ids } = this.#in;
    this.#followAdapters();
    const tokens = Math.max(...next.map((each) => each.tokens.length));
    // What lies beyond the rows that run writes to free slots, or behind what a row has that sits out.
    const run = this.#cache.batchRows(Math.max(next.length, this.#rowsMin));
    for (let slot = 0; slot < run; slot++) {
      const row = next[slot] ?? next[0]!;
      this.#places.write(slot, this.#ownTokens(this.rows[slot] ?? this.rows[0]!));
      for (let t = 0; t < tokens; t++) {
        const at = slot * tokens + t;
        ids.data[at] = BigInt(row.tokens[t] ?? row.tokens[0] ?? 0); // what lies beyond a row's is overwritten later
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

  #ownTokens({ cachedTokens }: R): number {
    return cachedTokens - this.#places.sharedTokens;
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
