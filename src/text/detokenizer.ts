/**
 * Token ids → text as it becomes final, one token at a time, ending before the first stop string.
 * The pieces join to exactly what `Tokenizer.decode` gives for the whole, cut at the stop string.
 */

import { assert } from "../base/assert.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface DetokenizerOptions {
  /** Not empty strings; of several in the text the one that begins first counts. */
  stop?: readonly string[];
  /** False: special tokens are written out. */
  skipSpecial?: boolean;
}

export class Detokenizer {
  /** All the text given out so far. */
  text = "";
  /** The stop string that ended the text (the shortest, if several begin there), else null. */
  stopString: string | null = null;

  readonly #tokenizer: Tokenizer;
  readonly #stop: readonly string[];
  readonly #skipSpecial: boolean;
  readonly #utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
  /** Text that may yet turn out to be the start of a stop string. */
  #held = "";
  #leadingSpaces: number;

  constructor(tokenizer: Tokenizer, { stop = [], skipSpecial = true }: DetokenizerOptions = {}) {
    assert(!stop.includes(""), "A stop string is empty");
    this.#tokenizer = tokenizer;
    // Decoded text has no lone surrogate, so a stop string with one never occurs.
    this.#stop = stop.filter((text) => !/\p{Surrogate}/u.test(text)).sort(byLength);
    this.#skipSpecial = skipSpecial;
    this.#leadingSpaces = tokenizer.leadingSpaces;
  }

  /** Whether a stop string has appeared; from then on every token is ignored. */
  get stopped(): boolean {
    return this.stopString !== null;
  }

  /** @returns the text that this token makes final: whole characters, and nothing of a stop string. */
  push(id: number): string {
    if (this.stopped || (this.#skipSpecial && this.#tokenizer.specialIds.has(id))) return "";
    this.#receive(this.#utf8.decode(this.#tokenizer.bytesOf(id), { stream: true }));
    return this.#release({ isLast: false });
  }

  /** @returns the text held back until now; an unfinished character becomes U+FFFD. Call it once. */
  finish(): string {
    if (this.stopped) return "";
    this.#receive(this.#utf8.decode());
    return this.#release({ isLast: true });
  }

  #receive(text: string): void {
    let start = 0;
    while (start < text.length && this.#leadingSpaces > 0) {
      this.#leadingSpaces = text[start] === " " ? this.#leadingSpaces - 1 : 0;
      if (text[start] === " ") start++;
    }
    this.#held += text.slice(start);
  }

  /** Gives out what stands before the first place where a stop string is, or may still become one. */
  #release({ isLast }: { isLast: boolean }): string {
    let at = 0;
    for (; at < this.#held.length; at++) {
      const found = this.#stop.find((stop) => this.#held.startsWith(stop, at));
      if (found !== undefined) {
        this.stopString = found;
        break;
      }
      if (!isLast && this.#stop.some((stop) => stop.startsWith(this.#held.slice(at)))) break;
    }
    const final = this.#held.slice(0, at);
    this.#held = this.stopped ? "" : this.#held.slice(at);
    this.text += final;
    return final;
  }
}

const byLength = (a: string, b: string) => a.length - b.length;
