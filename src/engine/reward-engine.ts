/**
 * Scores completions with a reward model: the prompt is computed once per session, its keys and values
 * shared by every completion. One run at a time, completions of a prompt in order of arrival; sequences that grow
 * beside each other share runs (`scored-batch.ts`).
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import { PrefixCache, type PrefixStats } from "./prefix-cache.ts";
import { PromptReader, ReadPrompt } from "./prompt-reader.ts";
import type { PromptRunner } from "./prompt-runner.ts";
import { ScoredBatch } from "./scored-batch.ts";
import type { ServingModel } from "./serving-model.ts";
import type { ScoredGrowing, Scorer, ScoringSession } from "./types.ts";

export class RewardEngine implements Scorer {
  readonly revision: string;
  readonly labels: number;
  readonly growsInPlace = true;
  readonly contextTokens: number;
  readonly #model: ServingModel;
  readonly #prefixes: PrefixCache;
  readonly #reader: PromptReader<PromptRunner>;
  readonly #grown: ScoredBatch;
  #isJudging = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(model: ServingModel, { prefixBytesMax = 0 }: { prefixBytesMax?: number } = {}) {
    assert(model.head === "scores", "a reward engine needs a model that scores");
    this.revision = model.revision;
    this.labels = model.config.labels;
    this.contextTokens = model.config.contextTokens;
    this.#model = model;
    this.#prefixes = new PrefixCache(prefixBytesMax);
    this.#reader = new PromptReader(model, this.#prefixes);
    this.#grown = new ScoredBatch(model, () => void this.#judge());
  }

  get stats(): { readonly prefixes: PrefixStats } {
    return { prefixes: this.#prefixes.stats };
  }

  open(prompt: readonly number[], signal: AbortSignal): ScoringSession {
    assert(prompt.length > 0, "a prompt needs at least one token");
    this.#refuseTooLong(prompt.length + 1);
    const opened: OpenPrompt = { prompt: new ReadPrompt(prompt), signal };
    return {
      score: async (completion, label = 0) => {
        const [last] = await this.#scores(opened, completion, [completion.length - 1]);
        return last![label]!;
      },
      scores: (completion, at) => this.#scores(opened, completion, at),
      grow: () => this.#grow(opened),
      close: () => this.#reader.forget(opened.prompt),
    };
  }

  async dispose(): Promise<void> {
    await this.#last;
    this.#grown.dispose();
    this.#reader.dispose();
    await this.#model.dispose();
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(task);
    this.#last = mine.catch(() => undefined); // whoever asked is told; the next one does not care
    return mine;
  }

  #scores(
    { prompt, signal }: OpenPrompt,
    completion: readonly number[],
    at: readonly number[],
  ): Promise<Float32Array[]> {
    return this.#enqueue(async () => {
      signal.throwIfAborted();
      assert(
        at.every((token) => token >= 0 && token < completion.length),
        `tokens ${at.join()} are not all within ${completion.length}`,
      );
      this.#refuseTooLong(prompt.tokens.length + completion.length);
      while (!prompt.isDone) await this.#reader.advance(prompt);
      await this.#reader.makeResident(prompt);
      // Its keys and values lie after the prompt's and are overwritten by the next one's.
      return this.#reader.runner.scores(completion, prompt.tokens.length, at);
    });
  }

  #grow({ prompt, signal }: OpenPrompt): Promise<ScoredGrowing> {
    return this.#enqueue(async () => {
      this.#model.refuseGrowing();
      signal.throwIfAborted();
      while (!prompt.isDone) await this.#reader.advance(prompt);
      return this.#grown.join(prompt, signal, (row) => {
        void this.#enqueue(() => this.#grown.leave(row));
      });
    });
  }

  /** Runs while somebody asks. Who asks while other models run, or others' scores are computed, shares the next run. */
  async #judge(): Promise<void> {
    if (this.#isJudging) return;
    this.#isJudging = true;
    try {
      while (this.#grown.isAsked) {
        await this.#model.quiet();
        await this.#enqueue(() => this.#grown.step());
      }
    } finally {
      this.#isJudging = false; // nothing is awaited since the last look
    }
  }

  #refuseTooLong(tokens: number): void {
    if (tokens <= this.contextTokens) return;
    throw new GatewayError("prompt_too_long", { tokens, limit: this.contextTokens });
  }
}

interface OpenPrompt {
  readonly prompt: ReadPrompt;
  readonly signal: AbortSignal;
}
