/** One request for n completions, and the sequences that become them. */
import { createRandom, splitSeed } from "../base/random.ts";
import type { DecodeRow } from "./decode-batch.ts";
import { type AdapterName, ReadPrompt } from "./prompt-reader.ts";
import { type LogitsRow, RowSampler } from "./sampler.ts";
import type { Support } from "./support.ts";
import type { Completion, FinishReason, SampleControl, SampledToken, Sampling } from "./types.ts";

interface RequestParts {
  readonly prompt: readonly number[];
  readonly n: number;
  readonly sampling: Sampling;
  readonly control: SampleControl;
  readonly contextTokens: number;
  readonly adapter: AdapterName | null;
  /** Whether the candidates keep the prompt once for all of them. */
  readonly sharesPrompt: boolean;
  /** Scratch of the samplers, shared by all sequences of an engine. */
  readonly support: Support;
}

export class SampleRequest {
  readonly prompt: ReadPrompt;
  readonly signal: AbortSignal;
  readonly priority: number;
  readonly deadline: number | null;
  readonly n: number;
  readonly sharesPrompt: boolean;
  /** Settles exactly once: all completions, the signal's reason, or an error. */
  readonly completions: Promise<Completion[]>;
  /** Candidates that have no slot yet. */
  readonly waiting: Sequence[];
  readonly #finished: Completion[] = [];
  readonly #control: SampleControl;
  #resolve!: (completions: Completion[]) => void;
  #reject!: (reason: unknown) => void;
  #failure: { reason: unknown } | null = null;

  constructor(parts: RequestParts) {
    const { prompt, n, sampling, control, contextTokens, adapter, support } = parts;
    this.prompt = new ReadPrompt(prompt, { temperature: sampling.temperature || 1, adapter });
    this.signal = control.signal;
    this.priority = control.priority ?? 0;
    this.deadline = control.deadline ?? null;
    this.n = n;
    this.sharesPrompt = parts.sharesPrompt;
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
    if (this.#finished.length === this.n)
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
  /** Of the drawn tokens, those whose keys and values are in the slot. */
  #cached = 0;
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

  /** Runs no more, and is about to leave its slot. */
  get ended(): boolean {
    return this.#finished || this.request.ended !== null;
  }

  /** Tokens whose keys and values are in the slot, the prompt's among them. */
  get cachedTokens(): number {
    return this.request.prompt.tokens.length + this.#cached;
  }

  /** Starts, or goes on, from the prompt, which now lies in its slot. */
  begin(promptRow: LogitsRow): void {
    if (this.#tokens.length === 0) this.#draw(promptRow);
  }

  /** Loses its slot. The tokens drawn so far are run again, one a step, so that not a bit comes out otherwise. */
  giveWay(): void {
    this.#cached = 0;
  }

  decodeRow(): DecodeRow {
    const { id } = this.#tokens[this.#cached]!;
    return {
      token: id,
      past: this.cachedTokens,
      temperature: this.#sampling.temperature,
      adapter: this.request.prompt.adapter?.id ?? null,
    };
  }

  /** The model's output after the token of `decodeRow`. */
  accept(row: LogitsRow): void {
    this.#cached += 1;
    if (this.#cached === this.#tokens.length) this.#draw(row);
  }

  /** What goes wrong here ends its request alone. */
  #draw(row: LogitsRow): void {
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
