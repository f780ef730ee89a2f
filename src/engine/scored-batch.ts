/**
 * Sequences of a reward model that grow by choice, each in a slot of one cache: alternatives for the next tokens of all
 * that ask are judged in one run. What is chosen needs no run of its own: its keys and values are there, and are moved
 * to its place. A score depends neither on the other alternatives nor on the other sequences.
 */
import { assert } from "../base/assert.ts";
import type { Tensor } from "../onnx/runtime/index.ts";
import { type CacheBlock, KvCache } from "./cache.ts";
import { DenseSlots, type SlotRow } from "./dense-slots.ts";
import { type HeadOutputs, scores } from "./head-outputs.ts";
import type { ReadPrompt } from "./prompt-reader.ts";
import { counting, severalInputs } from "./row-places.ts";
import type { BoundRun, ServingModel } from "./serving-model.ts";
import { disposeTensors } from "./step-head.ts";
import type { ScoredGrowing } from "./types.ts";

/** New tokens of a run: beyond it the memory of a run grows and its speed does not. */
const RUN_TOKENS_MAX = 1024;
/** A single row's products would be summed in another order. */
const ROW_TOKENS_MIN = 2;
/** Shapes of runs that are kept ready. */
const BOUND_MAX = 64;

export class ScoredBatch {
  readonly #model: ServingModel;
  readonly #cache: KvCache;
  readonly #slots: DenseSlots<ScoredRow>;
  /** By slots and tokens. */
  readonly #bound = new Map<string, Bound>();
  readonly #onAsk: () => void;

  /** @param onAsk called when there is something for `step` to do. */
  constructor(model: ServingModel, onAsk: () => void) {
    this.#model = model;
    this.#onAsk = onAsk;
    this.#cache = model.createPrefix();
    this.#slots = new DenseSlots<ScoredRow>(this.#cache, {
      rowsMin: 1,
      rowsMax: Number.POSITIVE_INFINITY,
      contextTokens: model.config.contextTokens,
      tokensOf: (row) => row.slotTokens,
      onMove: () => this.#dropBound(),
    });
  }

  /** Whether somebody waits for scores. */
  get isAsked(): boolean {
    return this.#slots.rows.some(({ asked }) => asked !== null);
  }

  /**
   * @param prompt computed to its end.
   * @param leave called once it is closed, so that `leave` follows when no run is in flight.
   */
  async join(prompt: ReadPrompt, signal: AbortSignal, leave: (row: ScoredRow) => void) {
    assert(prompt.isDone, "a prompt must be computed before it grows");
    const row = new ScoredRow(prompt, { signal, ask: this.#onAsk, leave });
    await this.#slots.join(row, { written: true });
    return row;
  }

  async leave(row: ScoredRow): Promise<void> {
    await this.#slots.leave(new Set([row]));
    if (this.#slots.rows.length === 0) await this.#slots.trim();
  }

  /** Judges all that is asked by now. A run that fails is told to those that asked for it. */
  async step(): Promise<void> {
    const { rows } = this.#slots;
    for (const [slot, row] of rows.entries()) {
      const chosen = row.settle();
      if (chosen) this.#cache.move(slot, chosen.from, chosen.to);
    }
    if (!this.isAsked) return;
    const tokens = Math.max(ROW_TOKENS_MIN, ...rows.map((row) => row.askedTokens));
    await this.#slots.makeRoom(tokens);
    const slotsMax = Math.max(1, Math.floor(RUN_TOKENS_MAX / tokens));
    for (let from = 0; from < rows.length; from += slotsMax) {
      const window = rows.slice(from, from + slotsMax);
      const first = window.findIndex(({ asked }) => asked !== null);
      if (first < 0) continue;
      const last = window.findLastIndex(({ asked }) => asked !== null);
      await this.#run(from + first, window.slice(first, last + 1), tokens);
    }
  }

  dispose(): void {
    this.#dropBound();
    this.#cache.dispose();
  }

  async #run(from: number, rows: readonly ScoredRow[], tokens: number): Promise<void> {
    try {
      const bound = await this.#boundFor(from, rows.length, tokens);
      for (const [i, row] of rows.entries()) {
        bound.in.own_tokens.data[i] = BigInt(row.slotTokens);
        row.write(bound.in, i * tokens, tokens);
      }
      await bound.run.run();
      const found = await bound.head.read(bound.run);
      for (const [i, row] of rows.entries()) row.answer(found.slice(i * tokens, (i + 1) * tokens));
    } catch (cause) {
      for (const row of rows) row.refuse(cause);
    }
  }

  async #boundFor(from: number, rows: number, tokens: number): Promise<Bound> {
    const key = `${from}+${rows}x${tokens}`;
    const known = this.#bound.get(key);
    if (known) return known;
    if (this.#bound.size === BOUND_MAX) this.#dropBound();
    const bound = await this.#bind(from, rows, tokens);
    this.#bound.set(key, bound);
    return bound;
  }

  async #bind(from: number, rows: number, tokens: number): Promise<Bound> {
    const { runtime } = this.#model;
    const head = scores(this.#model, rows * tokens);
    const changing = {
      input_ids: runtime.tensor("int64", [rows, tokens]),
      begins: runtime.tensor("int64", [rows, tokens]),
      own_tokens: runtime.tensor("int64", [rows]),
    };
    const { past, present } = this.#cache.firstSlots(rows, from);
    const sizes = { rows, tokens, capacity: this.#cache.capacity };
    const inputs = {
      ...severalInputs(runtime, changing.own_tokens, sizes),
      ...changing,
      rows: counting(runtime, rows * tokens),
      ...head.inputs,
      ...past,
    };
    const outputs = { ...head.outputs, ...present };
    const run = await this.#model.bind({ inputs, outputs }, "alternatives");
    const tensors = [...Object.values<Tensor>(inputs), ...Object.values(present)];
    return { in: changing, run, head, tensors };
  }

  #dropBound(): void {
    for (const { run, head, tensors } of this.#bound.values()) {
      run.dispose();
      head.dispose();
      disposeTensors(tensors);
    }
    this.#bound.clear();
  }
}

interface RunInputs {
  /** [rows, tokens] */
  readonly input_ids: Tensor<"int64">;
  /** [rows, tokens] At which of a row's new tokens the alternative of each one begins. */
  readonly begins: Tensor<"int64">;
  /** [rows] */
  readonly own_tokens: Tensor<"int64">;
}

interface Bound {
  readonly in: RunInputs;
  readonly run: BoundRun;
  readonly head: HeadOutputs<Float32Array>;
  /** All that was made for it, but the head's. */
  readonly tensors: readonly Tensor[];
}

interface Alternative {
  readonly id: number;
  /** Where it begins behind the cached tokens. */
  readonly at: number;
}

interface Asked {
  readonly alternatives: readonly Alternative[];
  readonly tokens: readonly number[];
  /** Of each token, where its alternative begins. */
  readonly begins: readonly number[];
  /** The alternatives' last tokens. */
  readonly ends: readonly number[];
  resolve(scores: Float32Array[]): void;
  reject(reason: unknown): void;
}

interface RowControl {
  readonly signal: AbortSignal;
  readonly ask: () => void;
  readonly leave: (row: ScoredRow) => void;
}

export class ScoredRow implements SlotRow, ScoredGrowing {
  readonly mayWait = true;
  readonly blocks: readonly CacheBlock[];
  /** What is to be judged in the next run. */
  asked: Asked | null = null;
  readonly #ids: number[];
  readonly #control: RowControl;
  /** Of its tokens, those whose keys and values are in their places. */
  #cached: number;
  /** One of which may be accepted. */
  #alternatives: readonly Alternative[] = [];
  /** Tokens of the last run behind the cached ones. */
  #tried = 0;
  /** Where the accepted alternative begins, until its keys and values are moved to their place. */
  #chosen: number | null = null;
  #closed = false;

  constructor({ tokens, blocks }: ReadPrompt, control: RowControl) {
    this.blocks = blocks;
    this.#ids = [...tokens];
    this.#cached = tokens.length;
    this.#control = control;
  }

  get ids(): readonly number[] {
    return this.#ids;
  }

  /** With the alternatives that were run last, one of which may be accepted. */
  get slotTokens(): number {
    return this.#cached + this.#tried;
  }

  get askedTokens(): number {
    return this.asked?.tokens.length ?? 0;
  }

  branch(
    ids: readonly number[],
    tails: readonly (readonly number[])[] = [],
  ): Promise<Float32Array[]> {
    assert(!this.#closed, "the sequence was closed");
    assert(ids.length > 0, "there is nothing to branch to");
    assert(this.asked === null, "the last alternatives are not judged yet");
    const tokens: number[] = [];
    const begins: number[] = [];
    const ends: number[] = [];
    this.#alternatives = [];
    const alternatives = ids.map((id, i) => {
      const alternative = [id, ...(tails[i] ?? [])];
      const at = tokens.length;
      tokens.push(...alternative);
      begins.push(...alternative.map(() => at));
      ends.push(tokens.length - 1);
      return { id, at };
    });
    return new Promise((resolve, reject) => {
      this.asked = { alternatives, tokens, begins, ends, resolve, reject };
      this.#control.ask();
    });
  }

  accept(index: number): void {
    assert(!this.#closed, "the sequence was closed");
    const chosen = this.#alternatives[index];
    const { length } = this.#alternatives;
    assert(chosen, `there is no alternative ${index} of ${length}`);
    this.#alternatives = [];
    this.#chosen = chosen.at;
    this.#ids.push(chosen.id);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.refuse(new Error("the sequence was closed"));
    this.#control.leave(this);
  }

  /**
   * Before a run: nobody asks who has left, and what was accepted becomes part of it.
   * @returns which token of the slot is to be moved where.
   */
  settle(): { from: number; to: number } | null {
    const { signal } = this.#control;
    if (signal.aborted) this.refuse(signal.reason);
    const [at, to] = [this.#chosen, this.#cached];
    if (at !== null) this.#cached += 1;
    if (at !== null || this.asked !== null) this.#tried = 0;
    this.#chosen = null;
    return at === null || at === 0 ? null : { from: to + at, to };
  }

  /** Its part of a run, from place `from` on; what it does not need repeats a token that sees no other. */
  write({ input_ids: ids, begins }: RunInputs, from: number, tokens: number): void {
    for (let t = 0; t < tokens; t++) {
      ids.data[from + t] = BigInt(this.asked?.tokens[t] ?? 0);
      begins.data[from + t] = BigInt(this.asked?.begins[t] ?? t);
    }
  }

  /** @param found [tokens][labels], of its part of a run; a view. */
  answer(found: readonly Float32Array[]): void {
    if (this.asked === null) return;
    const { alternatives, tokens, ends, resolve } = this.asked;
    this.asked = null;
    this.#alternatives = alternatives;
    this.#tried = tokens.length;
    resolve(ends.map((at) => found[at]!.slice()));
  }

  refuse(reason: unknown): void {
    this.asked?.reject(reason);
    this.asked = null;
  }
}
