/** Keys and values of one running sequence, in the type that the foreign graph wants; grows a block at a time. */
import { assert } from "../../base/assert.ts";
import { type CacheBlock, wholeBlocks } from "../cache.ts";
import type { DecoderLayout } from "./layout.ts";
import { type CacheArray, cacheArray, type PackedCache, writeBlocks } from "./packed-cache.ts";

export class SequenceCache {
  readonly #layout: DecoderLayout;
  /** Each [kvHeads, capacity, headDim]. */
  #tensors: CacheArray[];
  #capacity: number;

  constructor(layout: DecoderLayout, blocks: readonly CacheBlock[]) {
    this.#layout = layout;
    this.#capacity = wholeBlocks(blocks.reduce((sum, { length }) => sum + length, 0) + 1);
    this.#tensors = this.#empty();
    const capacity = this.#capacity;
    writeBlocks((t) => this.#tensors[t]!, blocks, { layout, capacity });
  }

  get bytes(): number {
    return this.#tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Copies the first tokens, as many as are packed, to a row. */
  pack(into: PackedCache, row: number): void {
    const { kvHeads, headDim } = this.#layout;
    const size = into.length * headDim;
    assert(into.length <= this.#capacity, `there are ${this.#capacity} tokens at most`);
    for (const [t, from] of this.#tensors.entries()) {
      const to = into.tensor(t);
      for (let head = 0; head < kvHeads; head++) {
        const start = head * this.#capacity * headDim;
        to.set(from.subarray(start, start + size), (row * kvHeads + head) * size);
      }
    }
  }

  /** Takes over the last token of a packed row. */
  append(from: PackedCache, row: number): void {
    const { kvHeads, headDim } = this.#layout;
    const last = from.length - 1;
    if (last >= this.#capacity) this.#grow(wholeBlocks(from.length));
    for (const [t, to] of this.#tensors.entries()) {
      const packed = from.tensor(t);
      for (let head = 0; head < kvHeads; head++) {
        const at = ((row * kvHeads + head) * from.length + last) * headDim;
        to.set(packed.subarray(at, at + headDim), (head * this.#capacity + last) * headDim);
      }
    }
  }

  #empty(): CacheArray[] {
    const { layers, kvHeads, headDim, cacheType } = this.#layout;
    const count = kvHeads * this.#capacity * headDim;
    return Array.from({ length: 2 * layers }, () => cacheArray(cacheType, count));
  }

  #grow(capacity: number): void {
    const { kvHeads, headDim } = this.#layout;
    const [before, tensors] = [this.#capacity * headDim, this.#tensors];
    this.#capacity = capacity;
    this.#tensors = this.#empty();
    for (const [t, from] of tensors.entries()) {
      for (let head = 0; head < kvHeads; head++) {
        const part = from.subarray(head * before, (head + 1) * before);
        this.#tensors[t]!.set(part, head * capacity * headDim);
      }
    }
  }
}
