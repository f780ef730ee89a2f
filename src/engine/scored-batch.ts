/**
 * Sequences of a reward model that grow by choice, each in a slot of one cache: alternatives for the next tokens of all
 * that ask are judged in one run. What is chosen needs no run of its own: its keys and values are there, and are moved
 * to its place. No bit of a score depends on the other sequences; the other alternatives move its place in the slot, and
 * with it the order of sums.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { Tensor } from "../onnx/runtime/index.ts";
import type { KvCache } from "./cache.ts";
import { DenseSlots } from "./dense-slots.ts";
import { type HeadOutputs, scores } from "./head-outputs.ts";
import type { ReadPrompt } from "./prompt-reader.ts";
import { counting, severalInputs } from "./row-places.ts";
import { type RunInputs, ScoredSequence } from "./scored-sequence.ts";
import type { BoundRun, ServingModel } from "./serving-model.ts";
import { disposeTensors } from "./step-head.ts";

/** New tokens of a run: beyond it the memory of a run grows and its speed does not. */
const RUN_TOKENS_MAX = 1024;
/** A single row's products would be summed in another order. */
const ROW_TOKENS_MIN = 2;
/** Shapes of runs that are kept ready. */
const BOUND_MAX = 64;

export class ScoredBatch {
  readonly #model: ServingModel;
  readonly #cache: KvCache;
  readonly #slots: DenseSlots<ScoredSequence>;
  /** By slots and tokens. */
  readonly #bound = new Map<string, Bound>();
  readonly #onAsk: () => void;

  /** @param onAsk called when there is something for `step` to do. */
  constructor(model: ServingModel, onAsk: () => void) {
    this.#model = model;
    this.#onAsk = onAsk;
    this.#cache = model.createPrefix();
    this.#slots = new DenseSlots<ScoredSequence>(this.#cache, {
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
  async join(
    prompt: ReadPrompt,
    signal: AbortSignal,
    leave: (row: ScoredSequence) => void,
  ): Promise<ScoredSequence> {
    assert(prompt.isDone, "a prompt must be computed before it grows");
    const row = new ScoredSequence(prompt, { signal, ask: this.#onAsk, leave });
    try {
      await this.#slots.join(row, { written: true });
    } catch (error) {
      await this.leave(row);
      throw error;
    }
    return row;
  }

  async leave(row: ScoredSequence): Promise<void> {
    if (!this.#slots.rows.includes(row)) return; // all were disposed of
    await this.#slots.leave(new Set([row]));
    if (this.#slots.rows.length === 0) await this.#slots.trim();
  }

  /** Judges all that is asked by now. What fails is told to those that asked for it. */
  async step(): Promise<void> {
    const { rows } = this.#slots;
    try {
      for (const [slot, row] of rows.entries()) {
        const chosen = row.settle();
        if (chosen) this.#cache.move(slot, chosen.from, chosen.to);
      }
      const tokens = Math.max(ROW_TOKENS_MIN, ...rows.map((row) => row.askedTokens));
      await this.#slots.makeRoom(tokens);
      const slotsMax = Math.max(1, Math.floor(RUN_TOKENS_MAX / tokens));
      for (let from = 0; from < rows.length; from += slotsMax) {
        await this.#judge(from, Math.min(from + slotsMax, rows.length), tokens);
      }
    } catch (cause) {
      for (const row of rows) row.refuse(cause);
    }
  }

  dispose(): void {
    for (const row of this.#slots.rows.splice(0)) {
      row.refuse(new GatewayError("shutting_down", {}));
    }
    this.#dropBound();
    this.#cache.dispose();
  }

  /** One run for the slots from the first to the last that asks, of some. A sequence between them that does not ask runs along. */
  async #judge(start: number, end: number, tokens: number): Promise<void> {
    const window = this.#slots.rows.slice(start, end);
    const from = window.findIndex(({ asked }) => asked !== null);
    if (from < 0) return;
    const rows = window.slice(from, window.findLastIndex(({ asked }) => asked !== null) + 1);
    try {
      await this.#run(start + from, rows, tokens);
    } catch (cause) {
      for (const row of rows) row.refuse(cause);
    }
  }

  async #run(from: number, rows: readonly ScoredSequence[], tokens: number): Promise<void> {
    const bound = await this.#boundFor(from, rows.length, tokens);
    for (const [i, row] of rows.entries()) {
      bound.in.own_tokens.data[i] = BigInt(row.slotTokens);
      row.write(bound.in, i * tokens, tokens);
    }
    await bound.run.run();
    const found = await bound.head.read(bound.run);
    for (const [i, row] of rows.entries()) row.answer(found.slice(i * tokens, (i + 1) * tokens));
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

interface Bound {
  readonly in: RunInputs;
  readonly run: BoundRun;
  readonly head: HeadOutputs<Float32Array>;
  /** All that was made for it, but the head's. */
  readonly tensors: readonly Tensor[];
}
