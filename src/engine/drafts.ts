/**
 * Speculative decoding: guesses at a sequence's next tokens, which the model then checks in one step. A guess that turns
 * out to be what the sequence draws itself, with its own random numbers, saves a step; any other is forgotten. So tokens
 * are those that would have been drawn without guesses, and their distribution is exact whatever is guessed.
 * Source: Leviathan et al., arXiv:2211.17192; here target and draft share the uniform number of each position instead of
 * accepting by a coin of its own.
 */
import type { Sequence } from "./sequence.ts";

export interface Drafter {
  /** Gives each sequence up to `tokens` guesses (`Sequence.draft`). */
  propose(sequences: readonly Sequence[], tokens: number): Promise<void>;
  /** These run no more, or not now. */
  leave(sequences: ReadonlySet<Sequence>): Promise<void>;
  dispose(): Promise<void>;
}

const NGRAM_MAX = 3;
const NGRAM_MIN = 2;

/**
 * What followed the last tokens when they were there before; nothing when they were not. Longer matches go first, of
 * those of one length the latest.
 * Source: Saxena, "Prompt lookup decoding", 2023.
 */
export function lookUp(tokens: readonly number[], count: number): number[] {
  for (let length = NGRAM_MAX; length >= NGRAM_MIN; length--) {
    const tail = tokens.slice(-length);
    for (let start = tokens.length - length - 1; start >= 0; start--) {
      if (tail.every((token, i) => tokens[start + i] === token))
        return tokens.slice(start + length, start + length + count);
    }
  }
  return [];
}

/** Guesses that the text repeats itself, or its prompt. */
export const promptLookup: Drafter = {
  propose(sequences, tokens) {
    for (const sequence of sequences) sequence.draft(lookUp(sequence.ids, tokens));
    return Promise.resolve();
  },
  leave: () => Promise.resolve(),
  dispose: () => Promise.resolve(),
};
