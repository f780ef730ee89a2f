/** A sequence that grows by choice, on a foreign graph: alternatives are rows of one length, each with the sequence before it. */
import { assert } from "../../base/assert.ts";
import type { GrowthParts } from "../policy-model.ts";
import type { PromptReader } from "../prompt-reader.ts";
import type { Distribution, Growing } from "../types.ts";
import type { ImportedParts } from "./imported-batches.ts";
import { PackedCache } from "./packed-cache.ts";
import { SequenceCache } from "./sequence-cache.ts";

interface Alternative {
  readonly id: number;
  /** Where its keys and values lie. */
  readonly packed: PackedCache;
  readonly row: number;
}

export class ImportedGrowing implements Growing<Distribution> {
  readonly #parts: ImportedParts & GrowthParts & { readonly reader: PromptReader };
  readonly #ids: number[];
  readonly #cache: SequenceCache;
  #alternatives: readonly Alternative[] = [];
  #closed = false;

  /** @param parts.prompt computed to its end. */
  constructor(parts: ImportedParts & GrowthParts & { readonly reader: PromptReader }) {
    assert(parts.prompt.isDone, "a prompt must be computed before it grows");
    this.#parts = parts;
    this.#ids = [...parts.prompt.tokens];
    this.#cache = new SequenceCache(parts.layout, parts.prompt.blocks);
  }

  get ids(): readonly number[] {
    return this.#ids;
  }

  branch(ids: readonly number[]): Promise<Distribution[]> {
    assert(ids.length > 0, "there is nothing to branch to");
    const { rowsMax } = this.#parts.company;
    return this.#parts.turn(async () => {
      assert(!this.#closed, "the sequence was closed");
      this.#alternatives = [];
      const found: Distribution[] = [];
      for (let at = 0; at < ids.length; at += rowsMax) {
        found.push(...(await this.#run(ids.slice(at, at + rowsMax))));
      }
      this.#parts.prompt.work.tokensRun += ids.length;
      return found;
    });
  }

  accept(index: number): Promise<void> {
    const chosen = this.#alternatives[index];
    assert(chosen, `there is no alternative ${index} of ${this.#alternatives.length}`);
    return this.#parts.turn(async () => {
      assert(!this.#closed, "the sequence was closed");
      this.#cache.append(chosen.packed, chosen.row);
      this.#ids.push(chosen.id);
      this.#alternatives = [];
    });
  }

  async append(id: number): Promise<Distribution> {
    const [output] = await this.branch([id]);
    await this.accept(0);
    return output!;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#alternatives = [];
    void this.#parts.lastTurn(async () => this.#parts.reader.dispose());
    this.#parts.onClose();
  }

  async #run(ids: readonly number[]): Promise<Distribution[]> {
    const { runtime, layout, decoder, distribution, company } = this.#parts;
    const packed = new PackedCache(runtime, layout);
    const rows = Math.max(company.rowsMin, ids.length);
    packed.reset(rows, this.#ids.length);
    for (let row = 0; row < rows; row++) this.#cache.pack(packed, row);
    const tokens = Array.from({ length: rows }, (_, row) => [ids[row] ?? ids[0]!]);
    const raw = await decoder.run(tokens, packed, 1);
    this.#alternatives = [...this.#alternatives, ...ids.map((id, row) => ({ id, packed, row }))];
    const wanted = ids.map((_, row) => ({ row, temperature: 1 }));
    return distribution.rows(raw, wanted).finally(() => raw.tensor.dispose());
  }
}
