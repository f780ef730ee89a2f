/**
 * Rows in the slots of a cache: dense, so that consecutive slots are a batch. Rows that may sit out steps lie behind the
 * others, so that a step of the others runs no slot of theirs. Slots, and their capacity, grow with what they hold.
 */
import { BLOCK_TOKENS, type CacheBlock, type SlotCache, wholeBlocks } from "./cache.ts";

export interface SlotRow {
  /** The prompt's keys and values. */
  readonly blocks: readonly CacheBlock[];
  /** Whether it sits out steps now and then. */
  readonly mayWait: boolean;
}

export interface SlotsOptions<R> {
  /** Slots at least and at most. */
  readonly rowsMin: number;
  readonly rowsMax: number;
  readonly contextTokens: number;
  /** How many tokens are in a row's slot. */
  readonly tokensOf: (row: R) => number;
  /** How many tokens all slots may hold room for, of which they need `least`; any number when nothing is said. */
  readonly allowance?: (least: number) => Promise<number>;
  /** Called before slots move to other memory. */
  readonly onMove: () => void;
}

export class DenseSlots<R extends SlotRow> {
  /** By slot. */
  readonly rows: R[] = [];
  readonly #cache: SlotCache;
  readonly #options: SlotsOptions<R>;

  constructor(cache: SlotCache, options: SlotsOptions<R>) {
    this.#cache = cache;
    this.#options = options;
  }

  /** Tokens in the fullest slot. */
  get longest(): number {
    return Math.max(0, ...this.rows.map(this.#options.tokensOf));
  }

  /** Gives the row a slot, in which its prompt lies if it is to be `written`. */
  async join(row: R, { written }: { readonly written: boolean }): Promise<void> {
    const last = this.rows.push(row) - 1;
    const firstWaiting = this.rows.findIndex(({ mayWait }) => mayWait);
    await this.makeRoom();
    let slot = last;
    if (!row.mayWait && firstWaiting >= 0) {
      slot = firstWaiting;
      await this.#move(slot, last);
      this.rows[slot] = row;
    }
    if (written) await this.#cache.write(slot, row.blocks);
  }

  /** Frees slots; the last rows move into the holes. From the last slot down, so that whoever moves stays. */
  async leave(leaving: ReadonlySet<R>): Promise<void> {
    for (let slot = this.rows.length - 1; slot >= 0; slot--) {
      const row = this.rows[slot]!;
      if (!leaving.has(row)) continue;
      const lastLike = row.mayWait ? slot : this.rows.findLastIndex(({ mayWait }) => !mayWait);
      if (lastLike !== slot) await this.#move(lastLike, slot);
      const last = this.rows.length - 1;
      if (last !== lastLike) await this.#move(last, lastLike);
      this.rows.pop();
    }
  }

  /** Gives back the memory that no row needs now. */
  async trim(): Promise<void> {
    const [slots, capacity] = this.#least(1);
    if (slots < this.#cache.slots || capacity < this.#cache.capacity)
      await this.#resize(slots, capacity);
  }

  /** Makes every slot hold so many further tokens, and more, that the cache need not grow at every step. */
  async makeRoom(further = 1): Promise<void> {
    const { rowsMax, contextTokens, allowance } = this.#options;
    const { slots, capacity } = this.#cache;
    const [leastSlots, leastCapacity] = this.#least(further);
    if (leastSlots <= slots && leastCapacity <= capacity) return;
    const tokensMax = (await allowance?.(leastSlots * leastCapacity)) ?? Number.POSITIVE_INFINITY;
    const roomySlots = Math.min(rowsMax, Math.max(slots, 2 ** Math.ceil(Math.log2(leastSlots))));
    const doubled = BLOCK_TOKENS * 2 ** Math.ceil(Math.log2(leastCapacity / BLOCK_TOKENS));
    const context = Math.max(leastCapacity, wholeBlocks(contextTokens));
    const roomyCapacity = Math.max(capacity, Math.min(doubled, context));
    const sizes = [
      [roomySlots, roomyCapacity],
      [leastSlots, roomyCapacity],
      [roomySlots, leastCapacity],
    ].find(([n, size]) => n! * size! <= tokensMax) ?? [leastSlots, leastCapacity];
    await this.#resize(sizes[0]!, sizes[1]!);
  }

  /** Slots, and tokens of each, for so many further tokens of every row. */
  #least(further: number): [slots: number, capacity: number] {
    const slots = Math.max(this.rows.length, this.#options.rowsMin);
    return [slots, wholeBlocks(this.longest + further)];
  }

  async #move(from: number, to: number): Promise<void> {
    const row = this.rows[from]!;
    this.rows[to] = row;
    await this.#cache.copy(from, to, this.#options.tokensOf(row));
  }

  async #resize(slots: number, capacity: number): Promise<void> {
    this.#options.onMove();
    await this.#cache.resize(slots, capacity);
  }
}
