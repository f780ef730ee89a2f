/**
 * Keys and values as a foreign graph reads and writes them: of rows of one length, without gaps,
 * [rows, kvHeads, length, headDim] a tensor. A run reads one set and writes another, which is then the one to read.
 */
import { assert } from "../../base/assert.ts";
import type { Runtime, Tensor } from "../../onnx/runtime/index.ts";
import { type CacheBlock, wholeBlocks } from "../cache.ts";
import type { CacheType, DecoderLayout } from "./layout.ts";

export type CacheArray = Float32Array | Uint16Array;

export class PackedCache {
  readonly #runtime: Runtime;
  readonly #layout: DecoderLayout;
  #read: CacheArray[] = [];
  #written: CacheArray[] = [];
  #rows = 1;
  #length = 0;

  constructor(runtime: Runtime, layout: DecoderLayout) {
    this.#runtime = runtime;
    this.#layout = layout;
  }

  /** Tokens of each row. */
  get length(): number {
    return this.#length;
  }

  /** What lies in tensor t now; each row's heads one after the other. */
  tensor(t: number): CacheArray {
    return this.#read[t]!;
  }

  /** Makes room for so many rows of so many tokens, which the caller fills by `tensor`. */
  reset(rows: number, length: number): void {
    this.#read = this.#sized(this.#read, rows, length);
    this.#rows = rows;
    this.#length = length;
  }

  get bytes(): number {
    return [...this.#read, ...this.#written].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Gives all memory back. */
  clear(): void {
    [this.#read, this.#written, this.#rows, this.#length] = [[], [], 1, 0];
  }

  /** Keeps the first tokens of its one row. */
  truncate(length: number): void {
    assert(this.#rows === 1 && length <= this.#length, "one row is cut to fewer tokens");
    if (length === this.#length) return;
    const { kvHeads, headDim } = this.#layout;
    for (const array of this.#read) {
      for (let head = 1; head < kvHeads; head++) {
        const from = head * this.#length * headDim;
        array.copyWithin(head * length * headDim, from, from + length * headDim);
      }
    }
    this.#length = length;
  }

  /** Tensors for a run of so many new tokens a row, to be disposed by the caller. */
  bindings(added: number): { past: Tensor[]; present: Tensor[] } {
    this.#read = this.#sized(this.#read, this.#rows, this.#length);
    this.#written = this.#sized(this.#written, this.#rows, this.#length + added);
    return {
      past: this.#read.map((array) => this.#view(array, this.#length)),
      present: this.#written.map((array) => this.#view(array, this.#length + added)),
    };
  }

  /** After the run: what it wrote is what lies here. */
  advance(added: number): void {
    [this.#read, this.#written] = [this.#written, this.#read];
    this.#length += added;
  }

  #view(array: CacheArray, length: number): Tensor {
    const { kvHeads, headDim, cacheType } = this.#layout;
    const shape = [this.#rows, kvHeads, length, headDim];
    const part = array.subarray(0, this.#rows * kvHeads * length * headDim);
    return this.#runtime.tensor(cacheType, shape, part);
  }

  #sized(arrays: CacheArray[], rows: number, length: number): CacheArray[] {
    const { layers, kvHeads, headDim, cacheType } = this.#layout;
    const count = rows * kvHeads * headDim * length;
    if (arrays.length > 0 && count <= arrays[0]!.length) return arrays;
    // To whole blocks, so that not every step makes it anew.
    const roomy = rows * kvHeads * headDim * wholeBlocks(length);
    return Array.from({ length: 2 * layers }, (_, t) => {
      const grown = cacheArray(cacheType, roomy);
      if (arrays[t]) grown.set(arrays[t]);
      return grown;
    });
  }
}

export function cacheArray(type: CacheType, length: number): CacheArray {
  return type === "float32" ? new Float32Array(length) : new Uint16Array(length);
}

/** One row's blocks of a tensor, one after the other from token 0 of [kvHeads, capacity, headDim] on. */
export function writeBlocks(
  to: (t: number) => CacheArray,
  blocks: readonly CacheBlock[],
  { layout, capacity }: { layout: DecoderLayout; capacity: number },
): void {
  const { kvHeads, headDim } = layout;
  let from = 0;
  for (const { length, tensors } of blocks) {
    const size = length * headDim;
    tensors.forEach((tensor, t) => {
      for (let head = 0; head < kvHeads; head++) {
        const at = (head * capacity + from) * headDim;
        to(t).set(tensor.subarray(head * size, (head + 1) * size), at);
      }
    });
    from += length;
  }
}
