/** One request for n completions, and the sequences that become them. */
import { createRandom, splitSeed, type Uniforms } from "../base/random.ts";
import type { CacheBlock } from "./cache.ts";
import type { DecodeRow } from "./decode-batch.ts";
import { type AdapterName, ReadPrompt } from "./prompt-reader.ts";
import type { Request, Running } from "./running.ts";
import { RowSampler, type StepRow } from "./sampler.ts";
import type { Support } from "./support.ts";
import type { Completion, FinishReason, SampleControl, SampledToken, Sampling } from "./types.ts";

/** Guesses that were run, and those that turned out right. */
export interface DraftCounts {
  tried: number;
  kept: number;
}

interface RequestParts {
  readonly prompt: readonly number[];
  readonly n: number;
  readonly sampling: Sampling;
  readonly control: SampleControl;
  readonly contextTokens: number;
  readonly adapter: AdapterName | null;
  /** Whether the candidates keep the prompt once for all of them. */
  readonly sharesPrompt: boolean;
  /** Of all requests of an engine. */
  readonly drafts: DraftCounts;
  /** Scratch of the samplers, shared by all sequences of an engine. */
  readonly support: Support;
}

export class SampleRequest implements Request {
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
    const { prompt, n, sampling, control, contextTokens, adapter, support, drafts } = parts;
    this.prompt = new ReadPrompt(prompt, {
      temperature: sampling.temperature || 1,
      adapter,
      ...(control.work && { work: control.work }),
    });
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
      const random = new RandomAhead(createRandom(splitSeed(sampling.seed, index)));
      return new Sequence({ request: this, index, sampling, tokensMax, random, support, drafts });
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
  readonly tokensMax: number;
  readonly random: RandomAhead;
  readonly support: Support;
  readonly drafts: DraftCounts;
}

export class Sequence implements Running {
  readonly mayWait = false;
  readonly sitsOut = false;
  readonly request: SampleRequest;
  readonly index: number;
  readonly #sampling: Sampling;
  readonly #sampler: RowSampler;
  readonly #random: RandomAhead;
  readonly #support: Support;
  readonly #counts: DraftCounts;
  readonly #tokensMax: number;
  readonly #tokens: SampledToken[] = [];
  /** Of the drawn tokens, those whose keys and values are in the slot. */
  #cached = 0;
  #finished = false;
  /** Guesses at what comes next, to be run in the same step. */
  #drafts: number[] = [];
  /** What runs, or ran last. */
  #run: readonly number[] = [];

  constructor(parts: SequenceParts) {
    this.request = parts.request;
    this.index = parts.index;
    this.#sampling = parts.sampling;
    this.#random = parts.random;
    this.#support = parts.support;
    this.#counts = parts.drafts;
    this.#sampler = new RowSampler(parts.sampling, parts.random, parts.support);
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

  get blocks(): readonly CacheBlock[] {
    return this.request.prompt.blocks;
  }

  /** Starts, or goes on, from the prompt, which now lies in its slot. */
  begin(promptRow: StepRow): void {
    if (this.#tokens.length === 0) this.#draw(promptRow);
  }

  /** Loses its slot. The tokens drawn so far are run again, one a step, so that not a bit comes out otherwise. */
  giveWay(): void {
    this.#cached = 0;
  }

  /** The prompt's tokens, and those drawn. */
  get ids(): readonly number[] {
    return [...this.request.prompt.tokens, ...this.#tokens.map(({ id }) => id)];
  }

  /** Adds to what its request cost. */
  charge(tokens: number, ms: number): void {
    const { work } = this.request.prompt;
    work.tokensRun += tokens;
    work.modelMs += ms;
  }

  get temperature(): number {
    return this.#sampling.temperature;
  }

  /** Guesses at its next tokens, for the next step; those beyond its end are left out. */
  draft(ids: readonly number[]): void {
    this.#drafts = ids.slice(0, Math.max(0, this.#tokensMax - this.#tokens.length - 1));
  }

  /** What it would draw `ahead` tokens from now, were this the model's output there. */
  guess(output: StepRow, ahead: number): number {
    const plain = { ...this.#sampling, frequencyPenalty: 0, presencePenalty: 0, topLogprobs: 0 };
    const random = { uniform: () => this.#random.peek(ahead) };
    return new RowSampler(plain, random, this.#support).sample(output).id;
  }

  next(tokensMax: number): DecodeRow {
    const drawn = this.#tokens.slice(this.#cached, this.#cached + tokensMax).map(({ id }) => id);
    this.#run = [...drawn, ...this.#drafts.splice(0)].slice(0, tokensMax);
    this.#counts.tried += this.#run.length - drawn.length;
    const isDrawn = this.#cached + this.#run.length >= this.#tokens.length; // else the next one is known
    return {
      tokens: this.#run,
      temperature: this.#sampling.temperature,
      uniform: isDrawn ? this.#random.peek(0) : 0,
      wantsLogits: isDrawn && this.#sampler.wantsLogits,
      adapter: this.request.prompt.adapter?.id ?? null,
    };
  }

  /** Draws after each token that is the sequence's own: all of them, but of drafts those that it drew itself. */
  accept(outputs: readonly StepRow[], ms: number): void {
    this.charge(outputs.length, ms);
    const known = this.#tokens.length - this.#cached;
    for (const [i, output] of outputs.entries()) {
      if (this.#tokens[this.#cached]?.id !== this.#run[i]) break;
      this.#cached += 1;
      if (i >= known) this.#counts.kept += 1;
      if (this.#cached === this.#tokens.length) this.#draw(output);
      if (this.ended) break;
    }
  }

  /** What goes wrong here ends its request alone. */
  #draw(row: StepRow): void {
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

/** Random numbers that can be looked at before they are drawn. */
class RandomAhead {
  readonly #random: Uniforms;
  readonly #seen: number[] = [];

  constructor(random: Uniforms) {
    this.#random = random;
  }

  uniform(): number {
    return this.#seen.shift() ?? this.#random.uniform();
  }

  /** What `uniform` will give after `ahead` other calls. */
  peek(ahead: number): number {
    while (this.#seen.length <= ahead) this.#seen.push(this.#random.uniform());
    return this.#seen[ahead]!;
  }
}
