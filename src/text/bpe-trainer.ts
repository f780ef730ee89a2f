/**
 * Trains a byte-level byte-pair encoding and returns it as a Hugging Face `tokenizer.json`.
 * It knows nothing of files, of chat, or of how the result is used to encode.
 *
 * The algorithm: count pre-tokens; start from the 256 bytes; merge the most frequent adjacent pair until
 * the vocabulary is full. Ties go to the pair with the smaller ids, left first: the order of the Rust
 * trainer, so both give the same merges.
 * Source: Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; byte level: Radford et al. 2019.
 */

import { assert } from "../base/assert.ts";
import { byteCharacters } from "./byte-alphabet.ts";
import { byteLevelStep, splitStep, wordPattern } from "./pre-tokenizer.ts";

export interface BpeOptions {
  /** Tokens in all: special tokens + 256 bytes + merges. Fewer when the texts have no pair left to merge. */
  vocabSize: number;
  /** They get the ids from 0 on, in this order. */
  specialTokens: readonly string[];
}

/** The part of Hugging Face's `tokenizer.json` that a byte-level BPE needs. */
export interface TokenizerJson {
  version: "1.0";
  truncation: null;
  padding: null;
  added_tokens: AddedTokenJson[];
  normalizer: null;
  pre_tokenizer: StepJson;
  post_processor: null;
  decoder: StepJson;
  model: BpeModelJson;
}

interface StepJson {
  type: string;
  [setting: string]: unknown;
}

interface AddedTokenJson {
  id: number;
  content: string;
  single_word: false;
  lstrip: false;
  rstrip: false;
  normalized: false;
  special: true;
}

interface BpeModelJson {
  type: "BPE";
  dropout: null;
  unk_token: null;
  continuing_subword_prefix: null;
  end_of_word_suffix: null;
  fuse_unk: false;
  byte_fallback: false;
  ignore_merges: false;
  vocab: Record<string, number>;
  merges: string[];
}

/**
 * @param texts documents, read once, in order; special tokens in them are ordinary text.
 * @returns the tokenizer; the same texts and options give the same bytes.
 * @throws InvariantError when `vocabSize` has no room for the special tokens and the 256 bytes.
 */
export function trainByteLevelBpe(
  texts: Iterable<string>,
  { vocabSize, specialTokens }: BpeOptions,
): TokenizerJson {
  assert(
    vocabSize >= specialTokens.length + 256,
    `A byte-level vocabulary of ${vocabSize} has no room for ${specialTokens.length} special tokens and 256 bytes`,
  );
  const vocabulary = new Vocabulary([...specialTokens, ...[...byteCharacters].sort()]);
  const merges = learnMerges(countWords(texts, vocabulary), vocabulary, vocabSize);
  return tokenizerJson(vocabulary, merges, specialTokens);
}

// NOTE: digits and words are cut by `Split` steps, because the `Digits` and `ByteLevel(use_regex)` steps
// mean other characters in JavaScript (`\d`, `\s`) than in Rust.
const digitPattern = String.raw`\p{N}`;

// The same in JavaScript, whose own \s counts U+FEFF and misses U+0085.
const digitRegex = new RegExp(`(${digitPattern})`, "u");
const wordRegex = new RegExp(
  wordPattern
    .replaceAll(String.raw`[^\s`, String.raw`[^\p{White_Space}`)
    .replaceAll(String.raw`\s`, String.raw`\p{White_Space}`)
    .replaceAll(String.raw`\S`, String.raw`\P{White_Space}`),
  "gu",
);

interface Word {
  /** Token ids, shortened in place by merges. */
  ids: number[];
  count: number;
}

function countWords(texts: Iterable<string>, vocabulary: Vocabulary): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const part of text.split(digitRegex)) {
      for (const word of part.match(wordRegex) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  const idOfByte = byteCharacters.map((character) => vocabulary.idOf(character));
  return Array.from(counts, ([word, count]) => ({
    ids: Array.from(Buffer.from(word), (byte) => idOfByte[byte]!),
    count,
  }));
}

class Vocabulary {
  readonly tokens: string[];
  readonly #ids: Map<string, number>;

  constructor(tokens: readonly string[]) {
    this.tokens = [...tokens];
    this.#ids = new Map(tokens.map((token, id) => [token, id]));
    assert(this.#ids.size === tokens.length, "A special token is given twice, or is a single byte");
  }

  idOf(token: string): number {
    const id = this.#ids.get(token);
    assert(id !== undefined, `'${token}' is not in the vocabulary`);
    return id;
  }

  /** Two different pairs may spell the same token: it is one id. */
  add(token: string): number {
    const known = this.#ids.get(token);
    if (known !== undefined) return known;
    this.#ids.set(token, this.tokens.length);
    return this.tokens.push(token) - 1;
  }
}

/** The merges in order of rank, as pairs of ids; the vocabulary grows by what they spell. */
function learnMerges(words: Word[], vocabulary: Vocabulary, vocabSize: number): Pair[] {
  const merges: Pair[] = [];
  const pairs = new PairCounts();
  words.forEach((word, index) => {
    for (let i = 1; i < word.ids.length; i++) {
      pairs.change(pairKey(word.ids[i - 1]!, word.ids[i]!), word.count, index);
    }
  });
  pairs.enqueueGrown();
  while (vocabulary.tokens.length < vocabSize) {
    const key = pairs.popMostFrequent();
    if (key === null) break;
    const pair: Pair = [Math.floor(key / pairBase), key % pairBase];
    const merged = vocabulary.add(vocabulary.tokens[pair[0]]! + vocabulary.tokens[pair[1]]!);
    for (const index of pairs.wordsWith(key)) {
      mergeInWord(words[index]!, index, { pair, merged, pairs });
    }
    pairs.forget(key);
    pairs.enqueueGrown();
    merges.push(pair);
  }
  return merges;
}

type Pair = readonly [left: number, right: number];

// A pair is one number, left · 2²⁴ + right: exact in a double, and ordered left first.
const pairBase = 2 ** 24;
const pairKey = (left: number, right: number) => left * pairBase + right;

/** Replaces every occurrence of the pair, left to right, and tells the counts what went and what came. */
function mergeInWord(
  { ids, count }: Word,
  index: number,
  { pair: [left, right], merged, pairs }: { pair: Pair; merged: number; pairs: PairCounts },
): void {
  let kept = 0; // ids[0..kept) is the new word
  for (let i = 0; i < ids.length; i++, kept++) {
    if (ids[i] !== left || ids[i + 1] !== right) {
      ids[kept] = ids[i]!;
      continue;
    }
    if (kept > 0) {
      pairs.change(pairKey(ids[kept - 1]!, left), -count, index);
      pairs.change(pairKey(ids[kept - 1]!, merged), count, index);
    }
    if (i + 2 < ids.length) {
      pairs.change(pairKey(right, ids[i + 2]!), -count, index);
      pairs.change(pairKey(merged, ids[i + 2]!), count, index);
    }
    ids[kept] = merged;
    i++;
  }
  ids.length = kept;
}

/**
 * How often each pair occurs, and a max-heap over it. The heap is lazy: a pair that has become rarer keeps
 * its old entry, which is put right when it comes to the top.
 */
class PairCounts {
  readonly #counts = new Map<number, number>();
  readonly #words = new Map<number, Set<number>>();
  readonly #grown = new Set<number>();
  readonly #heap = new PairHeap();

  change(key: number, by: number, word: number): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + by);
    if (by < 0) return; // the word stays listed: a stale entry only costs a look
    this.#grown.add(key);
    const words = this.#words.get(key);
    if (words) words.add(word);
    else this.#words.set(key, new Set([word]));
  }

  /** Pairs that grew since the last call enter the heap with their present count. */
  enqueueGrown(): void {
    for (const key of this.#grown) this.#heap.push(key, this.#counts.get(key)!);
    this.#grown.clear();
  }

  popMostFrequent(): number | null {
    for (let top = this.#heap.pop(); top !== null; top = this.#heap.pop()) {
      const count = this.#counts.get(top.key) ?? 0;
      if (count < 1) continue;
      if (count === top.count) return top.key;
      this.#heap.push(top.key, count);
    }
    return null;
  }

  /** The words in which the pair may occur. */
  wordsWith(key: number): Iterable<number> {
    return this.#words.get(key) ?? [];
  }

  /** A merged pair is gone from every word. It can come back, when another pair spells one of its tokens. */
  forget(key: number): void {
    this.#words.delete(key);
    this.#counts.delete(key);
  }
}

interface HeapEntry {
  readonly key: number;
  readonly count: number;
}

/** Binary max-heap: larger count first, then smaller key. */
class PairHeap {
  readonly #entries: HeapEntry[] = [];

  push(key: number, count: number): void {
    const entries = this.#entries;
    const entry = { key, count };
    let at = entries.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, entries[parent]!)) break;
      entries[at] = entries[parent]!;
      at = parent;
    }
    entries[at] = entry;
  }

  pop(): HeapEntry | null {
    const entries = this.#entries;
    const top = entries[0];
    const last = entries.pop();
    if (top === undefined || last === undefined) return null;
    if (entries.length > 0) this.#sink(last);
    return top;
  }

  #sink(entry: HeapEntry): void {
    const entries = this.#entries;
    let at = 0;
    for (let child = 1; child < entries.length; child = 2 * at + 1) {
      const right = entries[child + 1];
      if (right !== undefined && isBefore(right, entries[child]!)) child++;
      if (!isBefore(entries[child]!, entry)) break;
      entries[at] = entries[child]!;
      at = child;
    }
    entries[at] = entry;
  }
}

function isBefore(a: HeapEntry, b: HeapEntry): boolean {
  return a.count > b.count || (a.count === b.count && a.key < b.key);
}

function tokenizerJson(
  { tokens }: Vocabulary,
  merges: readonly Pair[],
  specialTokens: readonly string[],
): TokenizerJson {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [splitStep(digitPattern), splitStep(wordPattern), byteLevelStep()],
    },
    post_processor: null,
    decoder: { ...byteLevelStep(), use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges: merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`),
    },
  };
}
