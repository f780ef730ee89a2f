/**
 * Scores completions with a reward model: the prompt is computed once per session, its keys and values
 * shared by every completion. One run at a time, completions of a prompt in order of arrival.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { CacheSnapshot } from "./cache.ts";
import { PromptRunner } from "./prompt-runner.ts";
import type { ServingModel } from "./serving-model.ts";
import type { Scorer, ScoringSession } from "./types.ts";

export class RewardEngine implements Scorer {
  readonly revision: string;
  readonly labels: number;
  readonly contextTokens: number;
  readonly #model: ServingModel;
  readonly #runner: PromptRunner;
  /** The prompt whose keys and values lie at the start of the runner's slot. */
  #resident: OpenPrompt | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(model: ServingModel) {
    assert(model.head === "scores", "a reward engine needs a model that scores");
    this.revision = model.revision;
    this.labels = model.config.labels;
    this.contextTokens = model.config.contextTokens;
    this.#model = model;
    this.#runner = new PromptRunner(model);
  }

  open(prompt: readonly number[], signal: AbortSignal): ScoringSession {
    assert(prompt.length > 0, "a prompt needs at least one token");
    this.#refuseTooLong(prompt.length + 1);
    const opened: OpenPrompt = { tokens: prompt, signal, cache: null };
    return {
      score: async (completion) => {
        const [last] = await this.#scores(opened, completion, [completion.length - 1]);
        return last![0]!;
      },
      scores: (completion, at) => this.#scores(opened, completion, at),
      close: () => {
        opened.cache = null;
        if (this.#resident === opened) this.#resident = null;
      },
    };
  }

  async dispose(): Promise<void> {
    await this.#last;
    this.#runner.dispose();
    this.#model.dispose();
  }

  #enqueue<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(task);
    this.#last = mine.catch(() => undefined); // whoever asked is told; the next one does not care
    return mine;
  }

  #scores(
    prompt: OpenPrompt,
    completion: readonly number[],
    at: readonly number[],
  ): Promise<Float32Array[]> {
    return this.#enqueue(async () => {
      prompt.signal.throwIfAborted();
      assert(
        at.every((token) => token >= 0 && token < completion.length),
        `tokens ${at.join()} are not all within ${completion.length}`,
      );
      this.#refuseTooLong(prompt.tokens.length + completion.length);
      await this.#makeResident(prompt);
      return this.#runner.scores(completion, prompt.tokens.length, at);
    });
  }

  /** A completion's keys and values lie after the prompt's and are overwritten by the next one's. */
  async #makeResident(prompt: OpenPrompt): Promise<void> {
    if (this.#resident === prompt) return;
    this.#resident = null;
    if (prompt.cache) this.#runner.restore(prompt.cache);
    else {
      await this.#runner.extend(prompt.tokens, 0);
      prompt.cache = this.#runner.snapshot(prompt.tokens.length);
    }
    this.#resident = prompt;
  }

  #refuseTooLong(tokens: number): void {
    if (tokens <= this.contextTokens) return;
    throw new GatewayError("prompt_too_long", { tokens, limit: this.contextTokens });
  }
}

interface OpenPrompt {
  readonly tokens: readonly number[];
  readonly signal: AbortSignal;
  cache: CacheSnapshot | null;
}
