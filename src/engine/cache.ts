/**
 * Keys and values of the tokens seen so far, one slot a sequence: per layer [slots, kvHeads, capacity,
 * headDim], updated in place by the model. Slots are whole and contiguous, so that the first n of them
 * are a batch, and one of them is a batch of its own. Slots and their capacity grow when asked.
 */
import { assert } from "../base/assert.ts";
import { bytesPerElement } from "../onnx/dtype.ts";
import type { Runtime, Tensor } from "../onnx/runtime/index.ts";

export interface CacheSizes {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** float32 when nothing is said, and always in ordinary memory. */
  readonly dtype?: "float32" | "float16";
}

/** Keys and values of one token in all layers. */
export function bytesPerToken({ layers, kvHeads, headDim, dtype }: CacheSizes): number {
  return layers * 2 * kvHeads * headDim * bytesPerElement(dtype ?? "float32");
}

/** Keys and values of each layer, alternating, as the graph names its inputs after `past_`. */
export function cacheNames({ layers }: Pick<CacheSizes, "layers">): string[] {
  return Array.from({ length: layers }, (_, layer) => [`key_${layer}`, `value_${layer}`]).flat();
}

/** Prompts are computed and kept in blocks of so many tokens, and slots hold whole blocks; a prompt's last one may be shorter. */
export const BLOCK_TOKENS = 64;

export const wholeBlocks = (tokens: number) => Math.ceil(tokens / BLOCK_TOKENS) * BLOCK_TOKENS;

/** Some consecutive tokens of a slot, copied out: keys and values of each layer, [kvHeads · length · headDim]. */
export interface CacheBlock {
  readonly length: number;
  readonly tensors: readonly (Float32Array | Uint16Array)[];
}

/** To be bound as past and as present; whoever asked disposes of them. */
export interface CacheViews {
  readonly past: Record<string, Tensor>;
  readonly present: Record<string, Tensor>;
}

/** What `KvCache` says of each verb, wherever the memory is. */
export interface SlotCache {
  readonly slots: number;
  readonly capacity: number;
  /** How many slots a batch of n rows takes; the rows beyond write to free ones. */
  batchRows(n: number): number;
  resize(slots: number, capacity: number): Promise<void>;
  firstSlots(n: number): Promise<CacheViews> | CacheViews;
  read(slot: number, from: number, length: number): Promise<CacheBlock>;
  write(slot: number, blocks: readonly CacheBlock[], at?: number): Promise<void>;
  slot(slot: number): Record<string, Tensor>;
  copy(from: number, to: number, length: number): Promise<void>;
  dispose(): void;
}

export function bytesOf({ tensors }: CacheBlock): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

export class KvCache implements SlotCache {
  readonly #runtime: Runtime;
  readonly #sizes: CacheSizes;
  /** Keys and values of each layer, alternating; named as the graph names its inputs. */
  readonly #tensors: { readonly name: string; tensor: Tensor<"float32"> }[];
  #slots = 1;
  #capacity = BLOCK_TOKENS;

  constructor(runtime: Runtime, sizes: CacheSizes) {
    this.#runtime = runtime;
    this.#sizes = sizes;
    this.#tensors = cacheNames(sizes).map((name) => ({
      name,
      tensor: runtime.tensor("float32", [1, sizes.kvHeads, BLOCK_TOKENS, sizes.headDim]),
    }));
  }

  get slots(): number {
    return this.#slots;
  }

  /** Tokens a slot holds. */
  get capacity(): number {
    return this.#capacity;
  }

  batchRows(n: number): number {
    return n;
  }

  /**
   * Makes the cache hold so many slots of so many tokens; what both sizes hold stays. Views of before are
   * of the old memory. Takes one layer more than the larger of both sizes meanwhile.
   */
  async resize(slots: number, capacity: number): Promise<void> {
    const { kvHeads, headDim } = this.#sizes;
    const [kept, size] = [
      Math.min(slots, this.#slots),
      Math.min(capacity, this.#capacity) * headDim,
    ];
    const [from, to] = [this.#capacity * headDim, capacity * headDim];
    for (const each of this.#tensors) {
      const grown = this.#runtime.tensor("float32", [slots, kvHeads, capacity, headDim]);
      for (let head = 0; head < kept * kvHeads; head++) {
        grown.data.set(each.tensor.data.subarray(head * from, head * from + size), head * to);
      }
      each.tensor.dispose();
      each.tensor = grown;
    }
    this.#slots = slots;
    this.#capacity = capacity;
  }

  /** Views of n slots, the first ones unless said, to be bound both as past and as present. */
  firstSlots(n: number, from = 0): CacheViews {
    const { kvHeads, headDim } = this.#sizes;
    const capacity = this.#capacity;
    const views = this.#tensors.map(({ name, tensor }) => ({
      name,
      view: tensor.view([n, kvHeads, capacity, headDim], from * kvHeads * capacity * headDim),
    }));
    return {
      past: Object.fromEntries(views.map(({ name, view }) => [`past_${name}`, view])),
      present: Object.fromEntries(views.map(({ name, view }) => [`present_${name}`, view])),
    };
  }

  /** Views of one slot, as a prefix that others share. */
  slot(slot: number): Record<string, Tensor> {
    const { kvHeads, headDim } = this.#sizes;
    const size = kvHeads * this.#capacity * headDim;
    return Object.fromEntries(
      this.#tensors.map(({ name, tensor }) => [
        `prefix_${name}`,
        tensor.view([kvHeads, this.#capacity, headDim], slot * size),
      ]),
    );
  }

  /** Copies `length` tokens of a slot out, from token `from` on. */
  async read(slot: number, from: number, length: number): Promise<CacheBlock> {
    const { kvHeads, headDim } = this.#sizes;
    const size = length * headDim;
    const tensors = this.#tensors.map(({ tensor }) => {
      const copy = new Float32Array(kvHeads * size);
      this.#heads(slot, (start, head) => {
        const first = start + from * headDim;
        copy.set(tensor.data.subarray(first, first + size), head * size);
      });
      return copy;
    });
    return { length, tensors };
  }

  /** Writes blocks one after the other into a slot, from token `at` on. */
  async write(slot: number, blocks: readonly CacheBlock[], at = 0): Promise<void> {
    const { headDim } = this.#sizes;
    let from = at;
    for (const { length, tensors } of blocks) {
      const size = length * headDim;
      this.#tensors.forEach(({ tensor }, i) => {
        this.#heads(slot, (start, head) => {
          const part = tensors[i]!.subarray(head * size, (head + 1) * size);
          tensor.data.set(part, start + from * headDim);
        });
      });
      from += length;
    }
  }

  /** Copies the first `length` tokens of a slot to another. */
  async copy(from: number, to: number, length: number): Promise<void> {
    const { kvHeads, headDim } = this.#sizes;
    const shift = (to - from) * kvHeads * this.#capacity * headDim;
    for (const { tensor } of this.#tensors) {
      this.#heads(from, (start) =>
        tensor.data.copyWithin(start + shift, start, start + length * headDim),
      );
    }
  }

  /** Copies a token of a slot to another place of it. */
  move(slot: number, from: number, to: number): void {
    const { headDim } = this.#sizes;
    for (const { tensor } of this.#tensors) {
      this.#heads(slot, (start) => {
        const first = start + from * headDim;
        tensor.data.copyWithin(start + to * headDim, first, first + headDim);
      });
    }
  }

  dispose(): void {
    for (const { tensor } of this.#tensors) tensor.dispose();
  }

  /** Calls back with where each head of a slot starts. */
  #heads(slot: number, visit: (start: number, head: number) => void): void {
    const { kvHeads, headDim } = this.#sizes;
    assert(slot >= 0 && slot < this.#slots, `slot ${slot} is outside of ${this.#slots}`);
    for (let head = 0; head < kvHeads; head++) {
      visit((slot * kvHeads + head) * this.#capacity * headDim, head);
    }
  }
}
