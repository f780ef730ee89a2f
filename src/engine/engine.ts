/**
 * Continuous batching for one policy revision: sequences join and leave between steps. Token ids only;
 * this file decides what runs next, `batches.ts` and `prompt-reader.ts` run it.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { NamedAdapter } from "./adapter-bank.ts";
import type { Drafter } from "./drafts.ts";
import { GuidedSequence } from "./guided-sequence.ts";
import type { PolicyModel, RunningBatches } from "./policy-model.ts";
import { PrefixCache, type PrefixStats } from "./prefix-cache.ts";
import { PromptReader, STEP_PROMPT_TOKENS } from "./prompt-reader.ts";
import type { Request, Running } from "./running.ts";
import { Scheduler } from "./scheduler.ts";
import { type DraftCounts, SampleRequest } from "./sequence.ts";
import { Support } from "./support.ts";
import type { Completion, Generator, Grown, SampleControl, Sampling } from "./types.ts";

export interface EngineOptions {
  /** Sequences decoded in one step at most: the slots of the cache. */
  readonly sequencesMax: number;
  /** Sequences that may wait for a slot. */
  readonly queueSequencesMax: number;
  /** Memory for the keys and values of earlier prompts; none when nothing is said. */
  readonly prefixBytesMax?: number;
  /** Memory for the keys and values of what runs; no limit when nothing is said. */
  readonly cacheBytesMax?: number;
  /** Guesses at next tokens, which the model checks a few at once; none when nothing is said. The engine disposes it. */
  readonly drafter?: Drafter;
  /** Guesses for a sequence in a step; 4 when nothing is said. */
  readonly draftTokens?: number;
}

export interface EngineStats {
  readonly waiting: number;
  readonly running: number;
  readonly slots: number;
  readonly preemptions: number;
  readonly prefixes: PrefixStats;
  /** Taken by the keys and values of what runs, or ran. */
  readonly cacheBytes: number;
  readonly drafts: Readonly<DraftCounts>;
}

/**
 * From how many candidates and prompt tokens on a prompt is held and read once for all candidates. Below, the rows of
 * all requests are better run together. A request's own numbers decide, never what runs beside it.
 */
const SHARING_CANDIDATES = 4;
const SHARING_TOKENS = 256;

export class Engine implements Generator {
  readonly revision: string;
  readonly contextTokens: number;
  readonly vocabSize: number;
  readonly #model: PolicyModel;
  readonly #cacheBytesMax: number;
  readonly #scheduler: Scheduler;
  readonly #prefixes: PrefixCache;
  readonly #prompts: PromptReader;
  readonly #batches: RunningBatches;
  readonly #drafter: Drafter | null;
  readonly #drafts: DraftCounts = { tried: 0, kept: 0 };
  /** Runs beside the batches, in order of arrival: those that wait when a step begins run in it. */
  readonly #tasks: (() => Promise<void>)[] = [];
  readonly #support = new Support();
  #adapters: ReadonlyMap<string, NamedAdapter> = new Map();
  /** Ids of adapters that nothing new may ask for. */
  readonly #leaving = new Set<string>();
  /** What waits for the next step that is ready for it. */
  #change: { isReady: () => boolean; apply: () => Promise<void> } | null = null;
  #lastChange: Promise<unknown> = Promise.resolve();
  #loop: Promise<void> | null = null;

  constructor(
    model: PolicyModel,
    {
      sequencesMax,
      queueSequencesMax,
      prefixBytesMax = 0,
      cacheBytesMax = Infinity,
      drafter,
      draftTokens = 4,
    }: EngineOptions,
  ) {
    assert(model.head === "logits", "a generator needs a model with logits");
    this.revision = model.revision;
    this.contextTokens = model.config.contextTokens;
    this.vocabSize = model.config.vocabSize;
    this.#model = model;
    this.#cacheBytesMax = cacheBytesMax;
    this.#drafter = drafter ?? null;
    this.#batches = model.createBatches({
      rowsMax: sequencesMax,
      bytesMax: cacheBytesMax,
      drafter: this.#drafter,
      draftTokens,
    });
    this.#scheduler = new Scheduler({
      slots: sequencesMax,
      waitingMax: queueSequencesMax,
      fits: (occupants) => this.#batches.fits(occupants),
      leave: (sequences) => this.#batches.leave(sequences),
    });
    this.#prefixes = new PrefixCache(prefixBytesMax);
    this.#prompts = new PromptReader(model, this.#prefixes);
  }

  get stats(): EngineStats {
    const { waiting, slots, preemptions } = this.#scheduler;
    const running = this.#scheduler.running.filter((sequence) => !isOver(sequence));
    const prefixes = this.#prefixes.stats;
    const cacheBytes = this.#batches.bytes;
    const drafts = { ...this.#drafts };
    return { waiting, running: running.length, slots, preemptions, prefixes, cacheBytes, drafts };
  }

  sample(
    prompt: readonly number[],
    n: number,
    sampling: Sampling,
    control: SampleControl,
  ): Promise<Completion[]> {
    if (control.signal.aborted) return Promise.reject(control.signal.reason);
    this.#refuseTooLong(prompt.length);
    const request = new SampleRequest({
      prompt,
      n,
      sampling,
      control,
      contextTokens: this.contextTokens,
      adapter: this.#adapterNamed(control.adapter),
      support: this.#support,
      drafts: this.#drafts,
      sharesPrompt:
        this.#model.sharesPrefixes && n >= SHARING_CANDIDATES && prompt.length >= SHARING_TOKENS,
    });
    this.#enqueue(request, prompt.length + sampling.maxTokens);
    return request.completions;
  }

  /** @throws GatewayError queue_full, prompt_too_long, cache_too_small */
  async grow(
    prompt: readonly number[],
    tokensMax: number,
    control: Pick<SampleControl, "signal" | "adapter" | "work">,
  ): Promise<Grown> {
    control.signal.throwIfAborted();
    this.#refuseTooLong(prompt.length);
    const growing = new GuidedSequence({
      prompt,
      control,
      adapter: this.#adapterNamed(control.adapter),
      contextTokens: this.contextTokens,
      vocabSize: this.vocabSize,
      wake: () => this.#wake(),
    });
    this.#enqueue(growing, prompt.length + tokensMax);
    return { growing, next: await growing.start() };
  }

  score(
    prompt: readonly number[],
    completion: readonly number[],
    { signal, adapter }: Pick<SampleControl, "signal" | "adapter">,
  ): Promise<Float32Array> {
    this.#refuseTooLong(prompt.length + completion.length - 1);
    const id = this.#adapterNamed(adapter)?.id ?? null;
    return this.#inTurn(() => this.#score(prompt, completion, id), signal);
  }

  /** From when this settles the adapter can be sampled with. Nothing that runs waits for it. */
  async loadAdapter(adapter: NamedAdapter): Promise<void> {
    assert(!this.#adapters.has(adapter.id), `the adapter '${adapter.id}' is loaded already`);
    await this.#changeAdapters(() => [...this.#adapters.values(), adapter]);
  }

  /** Nothing new may ask for it; what runs with it ends first. */
  async unloadAdapter(id: string): Promise<void> {
    const leaving = this.#adapterNamed(id)!;
    this.#leaving.add(id);
    await this.#changeAdapters(
      () => [...this.#adapters.values()].filter((adapter) => adapter.id !== id),
      () => !this.#isUsed(leaving),
    );
    this.#leaving.delete(id);
  }

  /** Rejects what is waiting and running, and frees the model's memory once the step in flight has ended. */
  async dispose(): Promise<void> {
    this.#scheduler.failAll(new GatewayError("shutting_down", {}));
    this.#wake(); // who sits out leaves too
    await this.#loop;
    this.#prompts.dispose();
    this.#batches.dispose();
    await this.#drafter?.dispose();
    await this.#model.dispose();
  }

  #isUsed(adapter: NamedAdapter): boolean {
    return this.#tasks.length > 0 || this.#scheduler.uses(adapter);
  }

  /** Runs the task in the next step. */
  #inTurn<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#tasks.push(async () => {
        try {
          signal.throwIfAborted();
          resolve(await task());
        } catch (problem) {
          reject(problem);
        }
      });
      this.#wake();
    });
  }

  #adapterNamed(id: string | undefined): NamedAdapter | null {
    if (id === undefined) return null;
    const adapter = this.#adapters.get(id);
    if (adapter && !this.#leaving.has(id)) return adapter;
    throw new GatewayError("model_not_found", { model: id, known: [...this.#adapters.keys()] });
  }

  /** One change after the other, each made ready beside the loop and put in place between two steps. */
  #changeAdapters(
    change: () => readonly NamedAdapter[],
    isReady: () => boolean = () => true,
  ): Promise<void> {
    const mine = this.#lastChange.then(async () => {
      const adapters = change();
      const apply = await this.#model.prepareAdapters(adapters);
      await new Promise<void>((resolve) => {
        const task = async () => {
          await apply();
          this.#adapters = new Map(adapters.map((adapter) => [adapter.id, adapter]));
          resolve();
        };
        this.#change = { isReady, apply: task };
        this.#wake();
      });
    });
    this.#lastChange = mine.catch(() => undefined); // who asked is told
    return mine;
  }

  #refuseTooLong(tokens: number): void {
    assert(tokens > 0, "a prompt needs at least one token");
    if (tokens < this.contextTokens) return;
    throw new GatewayError("prompt_too_long", { tokens, limit: this.contextTokens - 1 });
  }

  /** @param wanted tokens of a sequence, which must fit alone, or it could never end. */
  #enqueue(request: Request, wanted: number): void {
    const tokens = Math.min(wanted, this.contextTokens);
    if (!this.#batches.couldHold({ request, tokens })) {
      const { tokensMax: limit } = this.#batches;
      throw new GatewayError("cache_too_small", { tokens, limit, bytes: this.#cacheBytesMax });
    }
    this.#scheduler.enqueue(request);
    this.#wake();
  }

  #wake(): void {
    this.#loop ??= this.#run();
  }

  /**
   * Steps until there is nothing to do. A run that fails ends its requests with `engine_failed`; what fails beside
   * runs ends all of them. From the last
   * look for work to the end nothing is awaited: who comes in between would be left behind.
   */
  async #run(): Promise<void> {
    try {
      do await this.#step();
      while (this.#hasWork);
      this.#scheduler.selfCheck();
    } catch (cause) {
      this.#scheduler.failAll(asFailure(cause));
      await this.#scheduler.release();
    } finally {
      this.#loop = null;
    }
  }

  get #hasWork(): boolean {
    const { running } = this.#scheduler;
    const isChangeReady = this.#change?.isReady() ?? false;
    const isRunning = running.some((sequence) => !sequence.sitsOut || isOver(sequence));
    const isWaiting = this.#scheduler.next() !== null;
    return isRunning || isWaiting || this.#tasks.length > 0 || isChangeReady;
  }

  /** One iteration: some tokens of prompts, then one token for everything that runs. */
  async #step(): Promise<void> {
    // What runs elsewhere may bring tokens for those that sit out: they then share this step.
    if (this.#scheduler.running.some(({ mayWait }) => mayWait)) await this.#model.quiet();
    await this.#scheduler.release();
    if (this.#change?.isReady()) {
      const { apply } = this.#change;
      this.#change = null;
      await apply();
    }
    for (const task of this.#tasks.splice(0)) await task();
    await this.#admit();
    await this.#scheduler.shed();
    await this.#batches.step((sequences, cause) => {
      for (const { request } of sequences) request.fail(asFailure(cause));
    });
    await this.#scheduler.release();
  }

  /** Computes prompts of the requests that are next, so many tokens in all, and gives slots to the candidates of those done. */
  async #admit(): Promise<void> {
    let room = STEP_PROMPT_TOKENS;
    for (let next = this.#scheduler.next(); next; next = this.#scheduler.next()) {
      const { prompt } = next;
      try {
        if (!prompt.isDone) room -= await this.#prompts.advance(prompt, room);
        if (!prompt.isDone) return;
        await this.#begin(next);
      } catch (cause) {
        next.fail(asFailure(cause)); // its alone: nobody else's tokens were touched
      }
      await this.#scheduler.release();
    }
  }

  /** Slots for the candidates of a request whose prompt is done, while it is the next. */
  async #begin(request: Request): Promise<void> {
    for (;;) {
      const sequence = await this.#scheduler.admit(request);
      if (!sequence) return;
      await this.#batches.join(sequence);
      sequence.begin(request.prompt.row!);
    }
  }

  async #score(
    prompt: readonly number[],
    completion: readonly number[],
    adapter: string | null,
  ): Promise<Float32Array> {
    // Row t predicts token t + 1; the last token predicts nothing and is not run.
    const tokens = [...prompt, ...completion].slice(0, -1);
    const first = prompt.length - 1;
    const rows = await this.#prompts.scratch().logits(
      tokens,
      0,
      completion.map((_, t) => first + t),
      { adapter },
    );
    return Float32Array.from(completion, (id, t) => rows[t]!.logits[id]! - rows[t]!.logSumExp);
  }
}

/** Runs no more, and is about to leave its slot. */
const isOver = ({ finished, request }: Running) => finished || request.ended !== null;

function asFailure(cause: unknown): GatewayError {
  const problem = cause instanceof Error ? cause.message : String(cause);
  return new GatewayError("engine_failed", { problem }, { cause });
}
