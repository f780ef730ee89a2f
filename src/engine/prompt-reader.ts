/**
 * Computes prompts a chunk at a time, so that what decodes beside them never waits long, and begins where
 * an earlier prompt's blocks leave off. How a prompt is cut changes no bit of its result.
 */
import type { Head } from "../onnx/transformer.ts";
import { BLOCK_TOKENS, type CacheBlock } from "./cache.ts";
import type { PromptRunning } from "./policy-model.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import type { LogitsRow } from "./sampler.ts";
import { noWork, type Work } from "./types.ts";

/** Of prompts in one step: enough rows that the weights are read for many, few enough that others wait little. */
export const STEP_PROMPT_TOKENS = 2 * BLOCK_TOKENS;

/** Two adapters of one id, one after the other, differ in revision. */
export interface AdapterName {
  readonly id: string;
  readonly revision: string;
}

/** A prompt, computed as far as its blocks reach. */
export class ReadPrompt {
  readonly tokens: readonly number[];
  /** Of the cumulative distribution in `row`; for a policy. */
  readonly temperature: number;
  readonly adapter: AdapterName | null;
  readonly blocks: CacheBlock[] = [];
  /** The last token's output, once all is computed; null for a model that scores. */
  row: LogitsRow | null = null;
  computed = 0;
  /** What computing it cost. */
  readonly work: Work;

  constructor(
    tokens: readonly number[],
    {
      temperature = 1,
      adapter = null,
      work = noWork(),
    }: { temperature?: number; adapter?: AdapterName | null; work?: Work } = {},
  ) {
    this.tokens = tokens;
    this.temperature = temperature;
    this.adapter = adapter;
    this.work = work;
  }

  get isDone(): boolean {
    return this.computed === this.tokens.length;
  }
}

interface ReadingModel<Runner> {
  readonly head: Head;
  /** Milliseconds spent inside ONNX Runtime so far. */
  readonly runMs: number;
  createPromptRunner(): Runner;
}

export class PromptReader<Runner extends PromptRunning = PromptRunning> {
  readonly runner: Runner;
  readonly #model: ReadingModel<Runner>;
  readonly #prefixes: PrefixCache;
  readonly #isScoring: boolean;
  /** Whose tokens lie at the start of the runner's slot. */
  #resident: ReadPrompt | null = null;

  constructor(model: ReadingModel<Runner>, prefixes: PrefixCache) {
    this.#model = model;
    this.runner = model.createPromptRunner();
    this.#prefixes = prefixes;
    this.#isScoring = model.head === "scores";
  }

  /**
   * Computes the next chunk of a prompt that is not done: so many tokens at most, and whole blocks until its end.
   * @returns how many tokens that were; 0 when `tokensMax` holds no block.
   */
  async advance(prompt: ReadPrompt, tokensMax = STEP_PROMPT_TOKENS): Promise<number> {
    const { id = null, revision = "" } = prompt.adapter ?? {};
    if (prompt.computed === 0) {
      prompt.blocks.push(...this.#prefixes.match(prompt.tokens, revision));
      prompt.computed = prompt.blocks.length * BLOCK_TOKENS;
      prompt.work.promptTokensFound += prompt.computed;
    }
    const from = prompt.computed;
    const left = prompt.tokens.length - from;
    const length = left <= tokensMax ? left : tokensMax - (tokensMax % BLOCK_TOKENS);
    if (length === 0) return 0;
    await this.makeResident(prompt);
    const chunk = prompt.tokens.slice(from, from + length);
    const isLast = from + chunk.length === prompt.tokens.length;
    const before = this.#model.runMs;
    this.#resident = null; // should the run fail, nobody's tokens are there
    if (isLast && !this.#isScoring) {
      const options = { temperature: prompt.temperature, adapter: id };
      const [row] = await this.runner.logits(chunk, from, [chunk.length - 1], options);
      prompt.row = row!;
    } else await this.runner.extend(chunk, from, id);
    this.#resident = prompt;
    prompt.computed += chunk.length;
    prompt.work.tokensRun += chunk.length;
    prompt.work.modelMs += this.#model.runMs - before;
    for (let at = from; at < prompt.computed; at += BLOCK_TOKENS) {
      prompt.blocks.push(await this.runner.read(at, Math.min(BLOCK_TOKENS, prompt.computed - at)));
    }
    this.#prefixes.keep(prompt.tokens, prompt.blocks, revision);
    return length;
  }

  /** Makes the runner's slot begin with what is computed of the prompt. */
  async makeResident(prompt: ReadPrompt): Promise<void> {
    if (this.#resident === prompt) return;
    this.#resident = null;
    await this.runner.write(prompt.blocks);
    this.#resident = prompt;
  }

  /** The runner, for something else: no prompt lies in its slot any more. */
  scratch(): Runner {
    this.#resident = null;
    return this.runner;
  }

  /** The prompt's memory is about to be given back. */
  forget(prompt: ReadPrompt): void {
    if (this.#resident === prompt) this.#resident = null;
  }

  dispose(): void {
    this.runner.dispose();
  }
}
