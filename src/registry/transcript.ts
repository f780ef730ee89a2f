/** One candidate as text: its tokens go in as they are drawn, its final text comes out. */
import type { Completion, SampledToken } from "../engine/types.ts";
import { Detokenizer } from "../text/detokenizer.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { Candidate } from "./types.ts";

export interface TranscriptOptions {
  readonly tokenizer: Tokenizer;
  readonly stop: readonly string[];
  /** They end an answer and are no part of its text, even where the vocabulary spells them as text. */
  readonly endTokens: ReadonlySet<number>;
  readonly onText: (text: string, tokens: readonly SampledToken[]) => void;
}

export class Transcript {
  readonly #detokenizer: Detokenizer;
  readonly #endTokens: ReadonlySet<number>;
  readonly #onText: TranscriptOptions["onText"];
  #waiting: SampledToken[] = [];

  constructor({ tokenizer, stop, endTokens, onText }: TranscriptOptions) {
    this.#detokenizer = new Detokenizer(tokenizer, { stop });
    this.#endTokens = endTokens;
    this.#onText = onText;
  }

  /** @returns whether a stop string is complete, so that nothing more should be drawn. */
  push(token: SampledToken): boolean {
    this.#waiting.push(token);
    if (this.#endTokens.has(token.id)) return false;
    const text = this.#detokenizer.push(token.id);
    if (text !== "") this.#tell(text);
    return this.#detokenizer.stopped;
  }

  /** Gives out what was held back. Call it once, after the last token. */
  finish({ index, tokens, finishReason }: Completion): Candidate {
    const text = this.#detokenizer.finish();
    if (text !== "" || this.#waiting.length > 0) this.#tell(text);
    const logprob = tokens.reduce((sum, token) => sum + token.logprob, 0);
    return { index, text: this.#detokenizer.text, tokens, logprob, finishReason };
  }

  #tell(text: string): void {
    const tokens = this.#waiting;
    this.#waiting = [];
    this.#onText(text, tokens);
  }
}
