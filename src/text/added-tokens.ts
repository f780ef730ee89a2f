/** Finds a vocabulary's added tokens (`<|im_end|>` and the like) in text. Knows nothing of BPE. */

import type { AddedToken } from "./tokenizer-files.ts";

/** A stretch of plain text, or the id of an added token that stood there. */
export type Section = string | number;

/** Cuts text at a fixed set of added tokens; of several that fit at a place, the longest wins. */
export class AddedTokenSplitter {
  readonly #byContent: ReadonlyMap<string, AddedToken>;
  readonly #pattern: RegExp | null;

  /** @param tokens content → token; the content as it reads in the text that will be split. */
  constructor(tokens: ReadonlyMap<string, AddedToken>) {
    this.#byContent = tokens;
    const longestFirst = [...tokens.keys()].sort((a, b) => b.length - a.length);
    this.#pattern =
      tokens.size > 0 ? new RegExp(`(${longestFirst.map(escaped).join("|")})`, "u") : null;
  }

  /** No section is an empty string; a token with `lstrip` or `rstrip` takes the white space beside it. */
  split(text: string): Section[] {
    if (this.#pattern === null) return text === "" ? [] : [text];
    const parts = text.split(this.#pattern); // odd places hold the tokens
    return parts.flatMap((part, at): Section[] => {
      if (at % 2 === 1) return [this.#byContent.get(part)!.id];
      let kept = part;
      if (this.#byContent.get(parts[at + 1] ?? "")?.lstrip) kept = kept.trimEnd();
      if (this.#byContent.get(parts[at - 1] ?? "")?.rstrip) kept = kept.trimStart();
      return kept === "" ? [] : [kept];
    });
  }
}

export interface AddedTokenSplitters {
  /** Tokens looked for in the text as it is. */
  readonly raw: AddedTokenSplitter;
  /** Tokens looked for after normalisation. */
  readonly normalized: AddedTokenSplitter;
}

/** @param normalizer null: texts stay as they are. */
export function addedTokenSplitters(
  tokens: readonly AddedToken[],
  normalizer: ((text: string) => string) | null,
): AddedTokenSplitters {
  const raw = new Map<string, AddedToken>();
  const normalized = new Map<string, AddedToken>();
  for (const token of tokens) {
    // Special tokens are always looked for in the raw text: there, a mark keeps text from being one.
    const isNormalized = normalizer !== null && !token.special && (token.normalized ?? true);
    if (isNormalized) normalized.set(normalizer(token.content), token);
    else raw.set(token.content, token);
  }
  return { raw: new AddedTokenSplitter(raw), normalized: new AddedTokenSplitter(normalized) };
}

const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
