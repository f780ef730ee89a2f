/**
 * A sequence whose tokens come from outside, for guided decoding: after each of them its distribution is handed out,
 * and until the next one comes it sits out the steps of the others, keeping its slot. It is a request of its own.
 */
import { setMaxListeners } from "node:events";
import { assert } from "../base/assert.ts";
import type { CacheBlock } from "./cache.ts";
import type { DecodeRow } from "./decode-batch.ts";
import { type AdapterName, ReadPrompt } from "./prompt-reader.ts";
import type { Request, Running } from "./running.ts";
import type { StepRow } from "./sampler.ts";
import type { Distribution, Growing, SampleControl } from "./types.ts";

interface GuidedParts {
  readonly prompt: readonly number[];
  readonly control: Pick<SampleControl, "signal" | "work">;
  readonly adapter: AdapterName | null;
  readonly contextTokens: number;
  readonly vocabSize: number;
  /** Called when there is something to do for it. */
  readonly wake: () => void;
}

export class GuidedSequence implements Growing, Request, Running {
  readonly request = this;
  readonly n = 1;
  readonly priority = 0;
  readonly deadline = null;
  readonly sharesPrompt = false;
  readonly mayWait = true;
  readonly finished = false;
  readonly prompt: ReadPrompt;
  readonly signal: AbortSignal;
  readonly waiting: Running[] = [this];
  readonly #contextTokens: number;
  readonly #wake: () => void;
  readonly #appended: number[] = [];
  /** Of the appended tokens, those whose keys and values are in the slot. */
  #cached = 0;
  /** How many tokens were appended when the distribution was handed out last; −1: it never was. */
  #handedOutAt = -1;
  /** [V] What was handed out, written anew each time. */
  readonly #logits: Float32Array;
  #asker: { resolve(next: Distribution): void; reject(reason: unknown): void } | null = null;
  #failure: { reason: unknown } | null = null;

  constructor({ prompt, control, adapter, contextTokens, vocabSize, wake }: GuidedParts) {
    const { signal, work } = control;
    this.prompt = new ReadPrompt(prompt, { adapter, ...(work && { work }) });
    this.signal = signal;
    this.#contextTokens = contextTokens;
    this.#logits = new Float32Array(vocabSize);
    this.#wake = wake;
  }

  /** To be called once, when it is in line. @returns the distribution after the prompt. */
  start(): Promise<Distribution> {
    setMaxListeners(0, this.signal); // all choices of a request share one
    this.signal.addEventListener("abort", this.#wake, { once: true });
    return this.#next();
  }

  get ids(): readonly number[] {
    return [...this.prompt.tokens, ...this.#appended];
  }

  get blocks(): readonly CacheBlock[] {
    return this.prompt.blocks;
  }

  get cachedTokens(): number {
    return this.prompt.tokens.length + this.#cached;
  }

  /** Also while it has no slot: what it has handed out holds. */
  get sitsOut(): boolean {
    return this.#handedOutAt === this.#appended.length;
  }

  get ended(): { readonly reason: unknown } | null {
    return this.#failure ?? (this.signal.aborted ? { reason: this.signal.reason } : null);
  }

  append(id: number): Promise<Distribution> {
    if (this.ended) return Promise.reject(this.ended.reason);
    assert(this.sitsOut, "a token was appended before the distribution of the last was there");
    const { length } = this.prompt.tokens;
    const isRoom = length + this.#appended.length < this.#contextTokens;
    assert(isRoom, "the sequence has reached the context's end");
    this.#appended.push(id);
    this.#wake();
    return this.#next();
  }

  close(): void {
    this.fail(new Error("the sequence was closed"));
    this.#wake();
  }

  fail(reason: unknown): void {
    this.signal.removeEventListener("abort", this.#wake);
    this.#failure ??= { reason };
    this.#asker?.reject(this.#failure.reason);
  }

  begin(promptRow: StepRow): void {
    if (this.#handedOutAt < 0) this.#handOut(promptRow);
  }

  giveWay(): void {
    this.#cached = 0;
  }

  next(tokensMax: number): DecodeRow {
    const tokens = this.#appended.slice(this.#cached, this.#cached + tokensMax);
    const wantsLogits = this.#cached + tokens.length === this.#appended.length;
    const adapter = this.prompt.adapter?.id ?? null;
    return { tokens, temperature: 1, uniform: 0, wantsLogits, adapter };
  }

  accept(outputs: readonly StepRow[], ms: number): void {
    this.prompt.work.tokensRun += outputs.length;
    this.prompt.work.modelMs += ms;
    this.#cached += outputs.length;
    if (this.#cached === this.#appended.length) this.#handOut(outputs.at(-1)!);
  }

  #next(): Promise<Distribution> {
    return new Promise((resolve, reject) => {
      this.#asker = { resolve, reject };
    });
  }

  #handOut(row: StepRow): void {
    assert("logits" in row, "the graph drew a token for a sequence that is guided");
    this.#logits.set(row.logits);
    this.#handedOutAt = this.#appended.length;
    this.#asker?.resolve({ logits: this.#logits, logSumExp: row.logSumExp });
  }
}
