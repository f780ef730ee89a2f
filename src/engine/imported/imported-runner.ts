/**
 * Several new tokens of one sequence by a foreign graph. They run in pieces that end at whole blocks, wherever they
 * begin: so a token's bits do not depend on where the prompt was cut, nor on what of it was known already.
 */
import { assert } from "../../base/assert.ts";
import { BLOCK_TOKENS, type CacheBlock } from "../cache.ts";
import type { PromptRunning } from "../policy-model.ts";
import type { LogitsRow } from "../sampler.ts";
import type { ImportedParts } from "./imported-batches.ts";
import { cacheArray, PackedCache, writeBlocks } from "./packed-cache.ts";

export class ImportedRunner implements PromptRunning {
  readonly #parts: Omit<ImportedParts, "company">;
  readonly #packed: PackedCache;

  constructor(parts: Omit<ImportedParts, "company">) {
    this.#parts = parts;
    this.#packed = new PackedCache(parts.runtime, parts.layout);
  }

  async write(blocks: readonly CacheBlock[]): Promise<void> {
    const capacity = blocks.reduce((sum, { length }) => sum + length, 0);
    this.#packed.reset(1, capacity);
    const { layout } = this.#parts;
    writeBlocks((t) => this.#packed.tensor(t), blocks, { layout, capacity });
  }

  async read(from: number, length: number): Promise<CacheBlock> {
    const { layers, kvHeads, headDim, cacheType } = this.#parts.layout;
    const whole = this.#packed.length;
    const tensors = Array.from({ length: 2 * layers }, (_, t) => {
      const copy = cacheArray(cacheType, kvHeads * length * headDim);
      for (let head = 0; head < kvHeads; head++) {
        const start = (head * whole + from) * headDim;
        const part = this.#packed.tensor(t).subarray(start, start + length * headDim);
        copy.set(part, head * length * headDim);
      }
      return copy;
    });
    return { length, tensors };
  }

  async logits(
    tokens: readonly number[],
    past: number,
    rows: readonly number[],
    { temperature = 1, adapter = null }: { temperature?: number; adapter?: string | null } = {},
  ): Promise<LogitsRow[]> {
    assert(adapter === null, "adapters were refused when they were loaded");
    this.#packed.truncate(past);
    const found = new Map<number, LogitsRow>();
    for (let from = 0; from < tokens.length; ) {
      const blockEnd = BLOCK_TOKENS * (Math.floor((past + from) / BLOCK_TOKENS) + 1) - past;
      const end = Math.min(blockEnd, tokens.length);
      const wanted = rows.filter((row) => row >= from && row < end);
      const piece = tokens.slice(from, end);
      const pieceRows = wanted.map((row) => row - from);
      for (const [i, row] of (await this.#piece(piece, pieceRows, temperature)).entries()) {
        found.set(wanted[i]!, row);
      }
      from = end;
    }
    return rows.map((row) => found.get(row)!);
  }

  async extend(tokens: readonly number[], past: number, adapter: string | null = null) {
    await this.logits(tokens, past, [], { adapter });
  }

  dispose(): void {
    this.#packed.clear();
  }

  async #piece(
    tokens: readonly number[],
    rows: readonly number[],
    temperature: number,
  ): Promise<LogitsRow[]> {
    const { decoder, distribution } = this.#parts;
    const kept = tokens.length - Math.min(tokens.length - 1, ...rows);
    const raw = await decoder.run([tokens], this.#packed, kept);
    try {
      if (rows.length === 0) return [];
      const first = tokens.length - raw.kept;
      return await distribution.rows(
        raw,
        rows.map((row) => ({ row: row - first, temperature })),
      );
    } finally {
      raw.tensor.dispose();
    }
  }
}
