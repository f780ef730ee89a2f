/**
 * Keys and values in a device's memory, for which a step never leaves it. A device's tensors have no views, so a batch
 * is always all slots: what lies beyond its rows is padding. Blocks are read into ordinary memory, of which there is
 * more; they are copied once for each prompt, not for each step.
 */
import { assert, InvariantError } from "../base/assert.ts";
import {
  BLOCK_TOKENS,
  type CacheBlock,
  type CacheViews,
  cacheNames,
  type SlotCache,
} from "./cache.ts";
import type { CacheTensors, Device, Places } from "./device.ts";

export class DeviceCache implements SlotCache {
  readonly #device: Device;
  /** Empty until something asks for it. */
  #tensors: CacheTensors = new Map();
  #slots = 1;
  #capacity = BLOCK_TOKENS;

  constructor(device: Device) {
    this.#device = device;
  }

  get slots(): number {
    return this.#slots;
  }

  get capacity(): number {
    return this.#capacity;
  }

  batchRows(): number {
    return this.#slots;
  }

  async resize(slots: number, capacity: number): Promise<void> {
    const tensors = new Map(this.#tensors);
    for (const [name, tensor] of tensors) {
      tensors.set(name, await this.#device.resized(tensor, slots, capacity));
      tensor.dispose();
    }
    this.#tensors = tensors;
    this.#slots = slots;
    this.#capacity = capacity;
  }

  async firstSlots(n: number): Promise<CacheViews> {
    assert(n === this.#slots, `a device's batch is all ${this.#slots} slots, not ${n}`);
    const tensors = await this.#allocated();
    const shared = (when: string) =>
      Object.fromEntries([...tensors].map(([name, each]) => [`${when}_${name}`, each.share()]));
    return { past: shared("past"), present: shared("present") };
  }

  slot(): never {
    throw new InvariantError("a device's slot cannot be seen apart");
  }

  async read(slot: number, from: number, length: number): Promise<CacheBlock> {
    const tensors = await this.#allocated();
    return { length, tensors: await this.#device.read(tensors, this.#places(slot, from, length)) };
  }

  async write(slot: number, blocks: readonly CacheBlock[], at = 0): Promise<void> {
    const length = blocks.reduce((sum, block) => sum + block.length, 0);
    if (length === 0) return;
    const tensors = await this.#allocated();
    const rows = [...tensors.keys()].map((_, i) => this.#joined(blocks, i, length));
    await this.#device.write(tensors, this.#places(slot, at, length), rows);
  }

  async copy(from: number, to: number, length: number): Promise<void> {
    const tensors = await this.#allocated();
    const places = (slot: number) => this.#places(slot, 0, length);
    await this.#device.copy(tensors, places(from), places(to));
  }

  dispose(): void {
    for (const tensor of this.#tensors.values()) tensor.dispose();
  }

  async #allocated(): Promise<CacheTensors> {
    if (this.#tensors.size > 0) return this.#tensors;
    const tensors = new Map();
    for (const name of cacheNames(this.#device.sizes)) {
      tensors.set(name, await this.#device.allocate(this.#slots, this.#capacity));
    }
    this.#tensors = tensors;
    return tensors;
  }

  /** Of some consecutive tokens of a slot, by head and then by token, as blocks are laid out. */
  #places(slot: number, from: number, length: number): Places {
    assert(slot >= 0 && slot < this.#slots, `slot ${slot} is outside of ${this.#slots}`);
    assert(from + length <= this.#capacity, `${from + length} tokens leave ${this.#capacity}`);
    const { kvHeads } = this.#device.sizes;
    const places = new BigInt64Array(kvHeads * length * 3);
    for (let i = 0; i < kvHeads * length; i++) {
      places[3 * i] = BigInt(slot);
      places[3 * i + 1] = BigInt(Math.floor(i / length));
      places[3 * i + 2] = BigInt(from + (i % length));
    }
    return places;
  }

  /** One tensor's part of several blocks as if they were one. */
  #joined(
    blocks: readonly CacheBlock[],
    tensor: number,
    length: number,
  ): Float32Array | Uint16Array {
    const { kvHeads, headDim, dtype } = this.#device.sizes;
    const size = kvHeads * length * headDim;
    const joined = dtype === "float16" ? new Uint16Array(size) : new Float32Array(size);
    let at = 0;
    for (const block of blocks) {
      const width = block.length * headDim;
      for (let head = 0; head < kvHeads; head++) {
        const part = block.tensors[tensor]!.subarray(head * width, (head + 1) * width);
        joined.set(part, head * length * headDim + at * headDim);
      }
      at += block.length;
    }
    return joined;
  }
}
