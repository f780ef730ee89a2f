/**
 * Where running sequences are: most in one batch, each with its prompt in its slot; the candidates of a request that
 * shares its prompt in a batch of their own. Keeps all of them within the cache's budget.
 */
import { assert } from "../base/assert.ts";
import { bytesPerToken, wholeBlocks } from "./cache.ts";
import { DecodeBatch } from "./decode-batch.ts";
import { afterPrefix, wholeSlots } from "./row-places.ts";
import type { Occupant } from "./scheduler.ts";
import type { SampleRequest, Sequence } from "./sequence.ts";
import type { ServingModel } from "./serving-model.ts";

interface SharedBatch {
  readonly batch: DecodeBatch;
  readonly prefixTokens: number;
}

export class Batches {
  readonly #model: ServingModel;
  readonly #rowsMax: number;
  readonly #tokensMax: number;
  readonly #apart: DecodeBatch;
  readonly #shared = new Map<SampleRequest, SharedBatch>();

  /** @param bytesMax of keys and values. */
  constructor(model: ServingModel, rowsMax: number, bytesMax: number) {
    this.#model = model;
    this.#rowsMax = rowsMax;
    this.#tokensMax = Math.floor(bytesMax / bytesPerToken(model.config));
    const { rowsMin } = model;
    const rows = Math.max(rowsMin, rowsMax);
    this.#apart = new DecodeBatch(model, wholeSlots(model.runtime, rows), {
      rowsMin,
      rowsMax,
      allowance: this.#allowance,
    });
  }

  /** Tokens that the budget holds. */
  get tokensMax(): number {
    return this.#tokensMax;
  }

  /** Taken by keys and values. */
  get bytes(): number {
    return this.#tokens * bytesPerToken(this.#model.config);
  }

  /** Whether the budget holds these at once. */
  fits(occupants: readonly Occupant[]): boolean {
    const apart = occupants.filter(({ request }) => !request.sharesPrompt);
    const tokens = Math.max(1, ...apart.map((each) => each.tokens));
    let sum = Math.max(apart.length, this.#model.rowsMin) * wholeBlocks(tokens);
    for (const [request, rows] of byRequest(occupants.filter((each) => !apart.includes(each)))) {
      const prompt = request.prompt.tokens.length;
      const own = Math.max(...rows.map((row) => row.tokens)) - prompt;
      sum += wholeBlocks(prompt) + Math.max(rows.length, this.#sharedRowsMin) * wholeBlocks(own);
    }
    return sum <= this.#tokensMax;
  }

  async join(sequence: Sequence): Promise<void> {
    const { request } = sequence;
    const shared = request.sharesPrompt
      ? (this.#shared.get(request) ?? (await this.#share(request)))
      : null;
    await (shared?.batch ?? this.#apart).join(sequence);
  }

  async leave(leaving: ReadonlySet<Sequence>): Promise<void> {
    await this.#apart.leave(leaving);
    for (const [request, { batch }] of this.#shared) {
      await batch.leave(leaving);
      if (batch.sequences.length > 0) continue;
      this.#shared.delete(request);
      batch.dispose();
    }
  }

  /** A step of every batch, one after the other. One that fails harms no other. */
  async step(onFailure: (sequences: readonly Sequence[], cause: unknown) => void): Promise<void> {
    for (const batch of this.#all) {
      const sequences = [...batch.sequences];
      if (sequences.length === 0) continue;
      try {
        await batch.step();
      } catch (cause) {
        onFailure(sequences, cause);
      }
    }
  }

  dispose(): void {
    for (const batch of this.#all) batch.dispose();
    this.#shared.clear();
  }

  get #all(): DecodeBatch[] {
    return [this.#apart, ...[...this.#shared.values()].map(({ batch }) => batch)];
  }

  get #tokens(): number {
    const prefixes = [...this.#shared.values()].map(({ prefixTokens }) => prefixTokens);
    const slots = this.#all.map(({ cacheTokens }) => cacheTokens);
    return [...prefixes, ...slots].reduce((sum, tokens) => sum + tokens, 0);
  }

  /** A matrix product of a single row would be summed in another order. */
  get #sharedRowsMin(): number {
    return Math.max(2, this.#model.rowsMin);
  }

  async #share(request: SampleRequest): Promise<SharedBatch> {
    const { runtime } = this.#model;
    const { blocks, tokens } = request.prompt;
    const prefixTokens = wholeBlocks(tokens.length);
    const rowsMin = this.#sharedRowsMin;
    await this.#free(prefixTokens + rowsMin * wholeBlocks(1));
    const rowsMax = Math.min(this.#rowsMax, request.n);
    const places = await afterPrefix(runtime, this.#model.createCache(), blocks, rowsMax);
    const options = { rowsMin, rowsMax, allowance: this.#allowance };
    const batch = new DecodeBatch(this.#model, places, options);
    const shared = { batch, prefixTokens };
    this.#shared.set(request, shared);
    return shared;
  }

  /** What the others leave; they give back what they do not need, should that be too little. */
  readonly #allowance = async (batch: DecodeBatch, least: number): Promise<number> => {
    await this.#free(least - batch.cacheTokens, batch);
    const tokens = this.#tokensMax - (this.#tokens - batch.cacheTokens);
    assert(tokens >= least, `the cache has ${tokens} tokens left of the ${least} promised`);
    return tokens;
  };

  async #free(tokens: number, asker: DecodeBatch | null = null): Promise<void> {
    if (this.#tokens + tokens <= this.#tokensMax) return;
    for (const batch of this.#all) if (batch !== asker) await batch.trim();
  }
}

function byRequest(occupants: readonly Occupant[]): Map<SampleRequest, Occupant[]> {
  const groups = new Map<SampleRequest, Occupant[]>();
  for (const each of occupants)
    groups.set(each.request, [...(groups.get(each.request) ?? []), each]);
  return groups;
}
