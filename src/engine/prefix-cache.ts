/**
 * Keys and values of prompts computed before, in blocks of a fixed number of tokens: a prompt that begins
 * as an earlier one did need not compute that part again. One cache per model revision, so that a new
 * revision can never be answered from an old one's; within it adapters are told apart by theirs. Exact: blocks are
 * found by their tokens, not by a hash.
 */
import { assert } from "../base/assert.ts";
import { BLOCK_TOKENS, bytesOf, type CacheBlock } from "./cache.ts";

interface Node {
  readonly key: string;
  readonly parent: Node | null;
  readonly block: CacheBlock;
  readonly children: Map<string, Node>;
}

export interface PrefixStats {
  readonly bytes: number;
  /** Prompt tokens asked for, and those of them that were found. */
  readonly asked: number;
  readonly found: number;
}

export class PrefixCache {
  readonly #bytesMax: number;
  readonly #roots = new Map<string, Node>();
  /** Least recently used first. A node is used after its children, so that the first is always a leaf. */
  readonly #byUse = new Set<Node>();
  #bytes = 0;
  #asked = 0;
  #found = 0;

  /** @param bytesMax 0 keeps nothing. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get stats(): PrefixStats {
    return { bytes: this.#bytes, asked: this.#asked, found: this.#found };
  }

  /** The longest known beginning, in whole blocks; at least one token is left, whose output is wanted. */
  match(tokens: readonly number[], adapter = ""): CacheBlock[] {
    const path: Node[] = [];
    for (let start = 0; start + BLOCK_TOKENS < tokens.length; start += BLOCK_TOKENS) {
      const siblings: ReadonlyMap<string, Node> = path.at(-1)?.children ?? this.#roots;
      const node = siblings.get(keyOf(tokens, start, adapter));
      if (!node) break;
      path.push(node);
    }
    this.#touch(path);
    this.#asked += tokens.length;
    this.#found += path.length * BLOCK_TOKENS;
    return path.map(({ block }) => block);
  }

  /**
   * Keeps the blocks of a prompt's beginning, evicting what was used longest ago. Blocks that are larger than
   * the whole cache are not kept.
   * @param blocks of the first tokens, in order; a last one that is not full is left out.
   * @param adapter its revision; empty: none.
   */
  keep(tokens: readonly number[], blocks: readonly CacheBlock[], adapter = ""): void {
    const path: Node[] = [];
    for (const [i, block] of blocks.entries()) {
      if (block.length < BLOCK_TOKENS) break;
      const parent = path.at(-1) ?? null;
      const siblings = parent?.children ?? this.#roots;
      const key = keyOf(tokens, i * BLOCK_TOKENS, adapter);
      const node = siblings.get(key) ?? { key, parent, block, children: new Map() };
      if (!siblings.has(key)) {
        siblings.set(key, node);
        this.#bytes += bytesOf(block);
      }
      path.push(node);
    }
    this.#touch(path);
    while (this.#bytes > this.#bytesMax) this.#evict();
  }

  #touch(path: readonly Node[]): void {
    for (const node of path.toReversed()) {
      this.#byUse.delete(node);
      this.#byUse.add(node);
    }
  }

  #evict(): void {
    const [oldest] = this.#byUse;
    assert(oldest && oldest.children.size === 0, "the block used longest ago has others after it");
    this.#byUse.delete(oldest);
    (oldest.parent?.children ?? this.#roots).delete(oldest.key);
    this.#bytes -= bytesOf(oldest.block);
  }
}

function keyOf(tokens: readonly number[], start: number, adapter: string): string {
  return `${adapter}:${tokens.slice(start, start + BLOCK_TOKENS).join(",")}`;
}
