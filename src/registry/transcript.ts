/** One candidate as text: its tokens go in as they are drawn, its final text comes out. */
import type { FinishReason, SampledToken } from "../engine/types.ts";
import { Detokenizer } from "../text/detokenizer.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Candidate, Transcriber } from "./types.ts";

export interface TranscriptOptions {
  readonly tokenizer: Tokenizer;
  readonly stop: readonly string[];
  /** They end an answer and are no part of its text, even where the vocabulary spells them as text. */
  readonly endTokens: ReadonlySet<number>;
  readonly onText: (text: string, tokens: readonly SampledToken[]) => void;
}

export class Transcript implements Transcriber {
  readonly #detokenizer: Detokenizer;
  readonly #endTokens: ReadonlySet<number>;
  readonly #onText: TranscriptOptions["onText"];
  #waiting: SampledToken[] = [];
  readonly tokens: SampledToken[] = [];

  constructor({ tokenizer, stop, endTokens, onText }: TranscriptOptions) {
    this.#detokenizer = new Detokenizer(tokenizer, { stop });
    this.#endTokens = endTokens;
    this.#onText = onText;
  }

  /** What of the text is final. */
  get text(): string {
    return this.#detokenizer.text;
  }

  /** Tokens that were told before, and whose text was. */
  resume(tokens: readonly SampledToken[]): void {
    for (const token of tokens) {
      this.tokens.push(token);
      this.#detokenizer.push(token.id);
    }
  }

  /** @returns whether an end token or a complete stop string says that nothing more should be drawn. */
  push(token: SampledToken): boolean {
    this.tokens.push(token);
    this.#waiting.push(token);
    if (this.#endTokens.has(token.id)) return true;
    const text = this.#detokenizer.push(token.id);
    if (text !== "") this.#tell(text);
    return this.#detokenizer.stopped;
  }

  /** Gives out what was held back. Call it once, after the last token. */
  finish(index: number, finishReason: FinishReason): Candidate {
    const text = this.#detokenizer.finish();
    if (text !== "" || this.#waiting.length > 0) this.#tell(text);
    const { tokens } = this;
    const logprob = tokens.reduce((sum, token) => sum + token.logprob, 0);
    return { index, text: this.#detokenizer.text, tokens, logprob, finishReason };
  }

  #tell(text: string): void {
    const tokens = this.#waiting;
    this.#waiting = [];
    this.#onText(text, tokens);
  }
}
