/** One request for n completions, and the sequences that become them. */
import { createRandom, splitSeed } from "../base/random.ts";
import type { CacheSnapshot } from "./cache.ts";
import type { DecodeRow } from "./decode-batch.ts";
import { type LogitsRow, RowSampler } from "./sampler.ts";
import type { Support } from "./support.ts";
import type { Completion, FinishReason, SampleControl, SampledToken, Sampling } from "./types.ts";

interface RequestParts {
  readonly prompt: readonly number[];
  readonly n: number;
  readonly sampling: Sampling;
  readonly control: SampleControl;
  readonly contextTokens: number;
  /** Scratch of the samplers, shared by all sequences of an engine. */
  readonly support: Support;
}

export class SampleRequest {
  readonly prompt: readonly number[];
  readonly temperature: number;
  readonly signal: AbortSignal;
  /** Settles exactly once: all completions, the signal's reason, or an error. */
  readonly completions: Promise<Completion[]>;
  /** Candidates that have no slot yet. */
  readonly waiting: Sequence[];
  /** What every candidate starts from, once the prompt was computed. */
  start: { row: LogitsRow; cache: CacheSnapshot } | null = null;
  readonly #finished: Completion[] = [];
  readonly #n: number;
  readonly #control: SampleControl;
  #resolve!: (completions: Completion[]) => void;
  #reject!: (reason: unknown) => void;
  #failure: { reason: unknown } | null = null;

  constructor(parts: RequestParts) {
    const { prompt, n, sampling, control, contextTokens, support } = parts;
    this.prompt = prompt;
    this.temperature = sampling.temperature || 1;
    this.signal = control.signal;
    this.#n = n;
    this.#control = control;
    this.completions = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const tokensMax = Math.min(sampling.maxTokens, contextTokens - prompt.length);
    this.waiting = Array.from({ length: n }, (_, index) => {
      const random = createRandom(splitSeed(sampling.seed, index));
      return new Sequence({
        request: this,
        index,
        sampling,
        tokensMax,
        sampler: new RowSampler(sampling, random, support),
      });
    });
  }

  /** Why its sequences must leave: the client went away, or one of them failed; null while it goes on. */
  get ended(): { reason: unknown } | null {
    return this.#failure ?? (this.signal.aborted ? { reason: this.signal.reason } : null);
  }

  /** @returns true when the caller wants the candidate to end here. */
  report(index: number, token: SampledToken): boolean {
    return this.#control.onToken?.(index, token) ?? false;
  }

  complete(completion: Completion): void {
    this.#finished.push(completion);
    this.#control.onCompletion?.(completion);
    if (this.#finished.length === this.#n)
      this.#resolve(this.#finished.toSorted((a, b) => a.index - b.index));
  }

  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#reject(this.#failure.reason);
  }
}

interface SequenceParts {
  readonly request: SampleRequest;
  readonly index: number;
  readonly sampling: Sampling;
  readonly sampler: RowSampler;
  readonly tokensMax: number;
}

export class Sequence {
  readonly request: SampleRequest;
  readonly index: number;
  readonly #sampling: Sampling;
  readonly #sampler: RowSampler;
  readonly #tokensMax: number;
  readonly #tokens: SampledToken[] = [];
  #finished = false;

  constructor(parts: SequenceParts) {
    this.request = parts.request;
    this.index = parts.index;
    this.#sampling = parts.sampling;
    this.#sampler = parts.sampler;
    this.#tokensMax = parts.tokensMax;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Tokens whose keys and values are in the cache: the last drawn one's are not yet. */
  get cachedTokens(): number {
    return this.request.prompt.length + Math.max(0, this.#tokens.length - 1);
  }

  decodeRow(): DecodeRow {
    const last = this.#tokens.at(-1)!;
    return { token: last.id, past: this.cachedTokens, temperature: this.#sampling.temperature };
  }

  /** Draws the next token from the model's output for it. What goes wrong here ends its request alone. */
  accept(row: LogitsRow): void {
    if (this.request.ended) return;
    try {
      this.#append(this.#sampler.sample(row));
    } catch (problem) {
      this.request.fail(problem);
    }
  }

  #append(token: SampledToken): void {
    this.#tokens.push(token);
    const wantsEnd = this.request.report(this.index, token);
    if (wantsEnd || this.#sampling.endTokens.has(token.id)) this.#finish("stop");
    else if (this.#tokens.length >= this.#tokensMax) this.#finish("length");
  }

  #finish(finishReason: FinishReason): void {
    this.#finished = true;
    this.request.complete({ index: this.index, tokens: this.#tokens, finishReason });
  }
}
