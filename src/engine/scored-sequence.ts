/**
 * A sequence of a reward model that grows by choice: what it asks of the next run of its batch (`scored-batch.ts`), and
 * where in its slot the alternatives lie, one of which may become part of it.
 */
import { assert } from "../base/assert.ts";
import type { Tensor } from "../onnx/runtime/index.ts";
import type { CacheBlock } from "./cache.ts";
import type { SlotRow } from "./dense-slots.ts";
import type { ReadPrompt } from "./prompt-reader.ts";
import type { ScoredGrowing } from "./types.ts";

/** What a run is told of new tokens. */
export interface RunInputs {
  /** [rows, tokens] */
  readonly input_ids: Tensor<"int64">;
  /** [rows, tokens] At which of a row's new tokens the alternative of each one begins. */
  readonly begins: Tensor<"int64">;
  /** [rows] */
  readonly own_tokens: Tensor<"int64">;
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
  readonly leave: (row: ScoredSequence) => void;
}

export class ScoredSequence implements SlotRow, ScoredGrowing {
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
    const { asked } = this;
    if (asked === null) return;
    this.asked = null;
    this.#alternatives = asked.alternatives;
    this.#tried = asked.tokens.length;
    asked.resolve(asked.ends.map((at) => found[at]!.slice()));
  }

  refuse(reason: unknown): void {
    this.asked?.reject(reason);
    this.asked = null;
  }
}
