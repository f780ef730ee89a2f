/** A small model that guesses what a larger one with the same tokens will say. */
import type { CacheBlock } from "./cache.ts";
import { type BatchRow, DecodeBatch, type DecodeRow } from "./decode-batch.ts";
import type { Drafter } from "./drafts.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { PromptReader, ReadPrompt } from "./prompt-reader.ts";
import { wholeSlotsOfSeveral } from "./row-places.ts";
import type { StepRow } from "./sampler.ts";
import type { SampleRequest, Sequence } from "./sequence.ts";
import type { ServingModel } from "./serving-model.ts";

/** New tokens of a row in one step: what the model accepted of the last guesses, and one more. */
const TOKENS_MAX = 8;

export class DraftModel implements Drafter {
  /** Of the model that is guessed for: embeddings of one vocabulary may differ in unused rows. */
  readonly #vocabSize: number;
  readonly #model: ServingModel;
  readonly #prompts: PromptReader;
  readonly #batch: DecodeBatch<DraftRow>;
  readonly #rows = new Map<Sequence, DraftRow>();
  /** Of requests that have rows. */
  readonly #read = new Map<SampleRequest, ReadPrompt>();

  /** @param rowsMax sequences that are guessed for at once; vocabSize: of the model that is guessed for. */
  constructor(model: ServingModel, { rowsMax, vocabSize }: { rowsMax: number; vocabSize: number }) {
    this.#vocabSize = vocabSize;
    this.#model = model;
    this.#prompts = new PromptReader(model, new PrefixCache(0));
    const rows = Math.max(model.rowsMin, rowsMax);
    this.#batch = new DecodeBatch(model, wholeSlotsOfSeveral(model.runtime, rows), {
      rowsMin: model.rowsMin,
      rowsMax: rows,
      tokensMax: TOKENS_MAX,
      positionsMax: 2 * TOKENS_MAX,
      allowance: () => Promise.resolve(Infinity),
    });
  }

  async propose(sequences: readonly Sequence[], tokens: number): Promise<void> {
    const { contextTokens, vocabSize } = this.#model.config;
    const isReadable = ({ ids }: Sequence) =>
      ids.length + tokens < contextTokens && ids.every((id) => id < vocabSize);
    const fitting = sequences.filter(isReadable);
    await this.leave(new Set([...this.#rows.keys()].filter((each) => !fitting.includes(each))));
    for (const sequence of fitting) {
      if (!this.#rows.has(sequence)) await this.#join(sequence);
      this.#rows.get(sequence)!.follow();
    }
    if (fitting.length === 0) return;
    for (let step = 0; step < tokens; step++) await this.#batch.step();
    for (const [sequence, { guesses }] of this.#rows) {
      const end = guesses.findIndex((id) => id >= this.#vocabSize);
      sequence.draft(end < 0 ? guesses : guesses.slice(0, end));
    }
  }

  async leave(sequences: ReadonlySet<Sequence>): Promise<void> {
    const gone = [...sequences].filter((sequence) => this.#rows.has(sequence));
    await this.#batch.leave(new Set(gone.map((sequence) => this.#rows.get(sequence)!)));
    for (const sequence of gone) this.#rows.delete(sequence);
    const requests = new Set([...this.#rows.keys()].map(({ request }) => request));
    for (const [request, prompt] of this.#read) {
      if (requests.has(request)) continue;
      this.#read.delete(request);
      this.#prompts.forget(prompt);
    }
  }

  async dispose(): Promise<void> {
    this.#prompts.dispose();
    this.#batch.dispose();
    await this.#model.dispose();
  }

  async #join(sequence: Sequence): Promise<void> {
    const { request } = sequence;
    const prompt = this.#read.get(request) ?? new ReadPrompt(request.prompt.tokens);
    this.#read.set(request, prompt);
    while (!prompt.isDone) await this.#prompts.advance(prompt);
    const row = new DraftRow(sequence, prompt);
    await this.#batch.join(row);
    this.#rows.set(sequence, row);
  }
}

class DraftRow implements BatchRow {
  readonly mayWait = false;
  readonly sitsOut = false;
  readonly blocks: readonly CacheBlock[];
  readonly #sequence: Sequence;
  /** The sequence's tokens when it was last followed, and what is guessed after them. */
  #known: readonly number[];
  #guesses: number[] = [];
  #cached: number;

  constructor(sequence: Sequence, { tokens, blocks }: ReadPrompt) {
    this.blocks = blocks;
    this.#sequence = sequence;
    this.#known = tokens;
    this.#cached = tokens.length;
  }

  get guesses(): readonly number[] {
    return this.#guesses;
  }

  get cachedTokens(): number {
    return this.#cached;
  }

  /** The sequence has gone on: what it did not draw is forgotten. */
  follow(): void {
    const before = [...this.#known, ...this.#guesses];
    const { ids } = this.#sequence;
    const end = before.findIndex((id, at) => id !== ids[at]);
    const agreed = end < 0 ? before.length : end;
    this.#cached = Math.min(this.#cached, agreed, ids.length - 1); // the last one's output is wanted
    this.#known = ids;
    this.#guesses = [];
  }

  next(tokensMax: number): DecodeRow {
    const all = [...this.#known, ...this.#guesses];
    const tokens = all.slice(this.#cached, this.#cached + tokensMax);
    const { temperature } = this.#sequence;
    return { tokens, temperature, uniform: 0, wantsLogits: true, adapter: null };
  }

  accept(outputs: readonly StepRow[], ms: number): void {
    this.#sequence.charge(0, ms);
    this.#cached += outputs.length;
    if (this.#cached < this.#known.length + this.#guesses.length) return;
    this.#guesses.push(this.#sequence.guess(outputs.at(-1)!, this.#guesses.length));
  }
}
