/**
 * Where running sequences are: most in one batch, each with its prompt in its slot; the candidates of a request that
 * shares its prompt in a batch of their own. Keeps all of them within the cache's budget.
 */
import { assert } from "../base/assert.ts";
import { wholeBlocks } from "./cache.ts";
import { DecodeBatch, type RowPlaces } from "./decode-batch.ts";
import type { Drafter } from "./drafts.ts";
import type { RunningBatches } from "./policy-model.ts";
import { afterPrefix, wholeSlots, wholeSlotsOfSeveral } from "./row-places.ts";
import type { Occupant, Request, Running } from "./running.ts";
import { Sequence } from "./sequence.ts";
import type { ServingModel } from "./serving-model.ts";

export interface BatchesOptions {
  readonly rowsMax: number;
  /** Of keys and values. */
  readonly bytesMax: number;
  /** Guesses at next tokens; null: none. */
  readonly drafter: Drafter | null;
  /** Guesses for a sequence in a step. */
  readonly draftTokens: number;
}

/** New tokens in a step from which on a further one costs as much as a step of its own: few rows have guesses, many none. */
const POSITIONS_MAX = 16;

interface SharedBatch {
  readonly batch: DecodeBatch<Running>;
  readonly prefixTokens: number;
}

export class Batches implements RunningBatches {
  readonly #model: ServingModel;
  readonly #options: BatchesOptions;
  readonly #tokensMax: number;
  readonly #apart: DecodeBatch<Running>;
  readonly #shared = new Map<Request, SharedBatch>();

  constructor(model: ServingModel, options: BatchesOptions) {
    this.#model = model;
    this.#options = options;
    this.#tokensMax = Math.floor(options.bytesMax / model.bytesPerToken);
    const { rowsMin } = model;
    const rowsMax = Math.max(rowsMin, options.rowsMax);
    const places = (options.drafter ? wholeSlotsOfSeveral : wholeSlots)(model.runtime, rowsMax);
    this.#apart = this.#batch(places, { rowsMin, rowsMax });
  }

  /** Tokens that the budget holds. */
  get tokensMax(): number {
    return this.#tokensMax;
  }

  /** Taken by keys and values. */
  get bytes(): number {
    return this.#tokens * this.#model.bytesPerToken;
  }

  /** Whether the budget holds it when nothing else runs. */
  couldHold(occupant: Occupant): boolean {
    return this.fits([occupant]);
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

  async join(sequence: Running): Promise<void> {
    const { request } = sequence;
    const shared = request.sharesPrompt
      ? (this.#shared.get(request) ?? (await this.#share(request)))
      : null;
    await (shared?.batch ?? this.#apart).join(sequence);
  }

  async leave(leaving: ReadonlySet<Running>): Promise<void> {
    await this.#options.drafter?.leave(new Set([...leaving].filter(isSampled)));
    await this.#apart.leave(leaving);
    for (const [request, { batch }] of this.#shared) {
      await batch.leave(leaving);
      if (batch.rows.length > 0) continue;
      this.#shared.delete(request);
      batch.dispose();
    }
  }

  /** A step of every batch, one after the other. One that fails harms no other. */
  async step(onFailure: (sequences: readonly Running[], cause: unknown) => void): Promise<void> {
    await this.#draft();
    for (const batch of this.#all) {
      const sequences = batch.rows.filter(({ sitsOut }) => !sitsOut);
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

  get #all(): DecodeBatch<Running>[] {
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

  #batch(places: RowPlaces, rows: { rowsMin: number; rowsMax: number }): DecodeBatch<Running> {
    const { drafter, draftTokens } = this.#options;
    return new DecodeBatch(this.#model, places, {
      ...rows,
      ...(drafter && { tokensMax: 1 + draftTokens, positionsMax: POSITIONS_MAX }),
      allowance: this.#allowance,
    });
  }

  async #draft(): Promise<void> {
    const { drafter } = this.#options;
    const drafting = this.#all.filter(({ tokensMax }) => tokensMax > 1);
    const tokens = Math.max(0, ...drafting.map(({ tokensMax }) => tokensMax - 1));
    if (tokens > 0)
      await drafter?.propose(
        drafting.flatMap(({ rows }) => rows.filter(isSampled)),
        tokens,
      );
  }

  async #share(request: Request): Promise<SharedBatch> {
    const { runtime } = this.#model;
    const { blocks, tokens } = request.prompt;
    const prefixTokens = wholeBlocks(tokens.length);
    const rowsMin = this.#sharedRowsMin;
    await this.#free(prefixTokens + rowsMin * wholeBlocks(1));
    const rowsMax = Math.max(rowsMin, Math.min(this.#options.rowsMax, request.n));
    const cache = this.#model.createPrefix();
    await cache.resize(1, prefixTokens);
    await cache.write(0, blocks);
    const places = afterPrefix(runtime, cache, tokens.length, rowsMax);
    const batch = this.#batch(places, { rowsMin, rowsMax });
    const shared = { batch, prefixTokens };
    this.#shared.set(request, shared);
    return shared;
  }

  /** What the others leave; they give back what they do not need, should that be too little. */
  readonly #allowance = async (batch: DecodeBatch<Running>, least: number): Promise<number> => {
    await this.#free(least - batch.cacheTokens, batch);
    const tokens = this.#tokensMax - (this.#tokens - batch.cacheTokens);
    assert(tokens >= least, `the cache has ${tokens} tokens left of the ${least} promised`);
    return tokens;
  };

  async #free(tokens: number, asker: DecodeBatch<Running> | null = null): Promise<void> {
    if (this.#tokens + tokens <= this.#tokensMax) return;
    for (const batch of this.#all) if (batch !== asker) await batch.trim();
  }
}

/** Nobody guesses what another chooses. */
const isSampled = (row: Running) => row instanceof Sequence;

function byRequest(occupants: readonly Occupant[]): Map<Request, Occupant[]> {
  const groups = new Map<Request, Occupant[]>();
  for (const each of occupants)
    groups.set(each.request, [...(groups.get(each.request) ?? []), each]);
  return groups;
}
