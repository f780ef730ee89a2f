/** Reads a support reply back into the phrases it is made of. Never fails: what is no phrase is strange. */
import { type Phrase, phrases } from "./phrases.ts";

/** One sentence; the phrase is null when the desk has no such sentence. */
export interface ReadSentence {
  readonly phrase: Phrase | null;
  /** What stands in the phrase's slots: name, order, product. */
  readonly slots: Readonly<Record<string, string>>;
}

export function readReply(text: string): ReadSentence[] {
  const flat = text.replace(/\s+/g, " ").trim();
  const sentences: ReadSentence[] = [];
  for (let at = 0; at < flat.length; ) {
    const { sentence, end } = readSentence(flat, at);
    sentences.push(sentence);
    at = end;
  }
  return sentences;
}

function readSentence(text: string, at: number): { sentence: ReadSentence; end: number } {
  for (const { phrase, pattern } of patternsFor(text, at)) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match) return { sentence: { phrase, slots: match.groups ?? {} }, end: pattern.lastIndex };
  }
  strange.lastIndex = at;
  strange.exec(text);
  // NOTE: a failed match leaves lastIndex 0; the pattern takes at least one character, so it cannot fail.
  return { sentence: { phrase: null, slots: {} }, end: strange.lastIndex };
}

/** Up to the end of the sentence or of the text. */
const strange = /[^.!?]*(?:[.!?]+ ?|$)/y;

const slotPatterns: Readonly<Record<string, string>> = {
  name: "(?<name>[A-Z][a-z]{1,20})",
  order: "(?<order>\\d{1,12})",
  product: "(?<product>[a-z ]{1,40}?)",
};

interface PhrasePattern {
  readonly phrase: Phrase;
  readonly pattern: RegExp;
}

/**
 * The patterns that can match here: those with this first word, then those that begin with a slot. In this
 * order, since "Look, {name}," must not be read as a customer called Look.
 */
function patternsFor(text: string, at: number): readonly PhrasePattern[] {
  firstWord.lastIndex = at;
  const word = firstWord.exec(text)?.[0].toLowerCase() ?? "";
  return [...(byFirstWord.get(word) ?? []), ...slotFirst];
}

// Bounded, so that a long text without spaces is read in linear time.
const firstWord = /[^ ]{1,20}/y;

const byFirstWord: ReadonlyMap<string, readonly PhrasePattern[]> = groupByFirstWord();
const slotFirst: readonly PhrasePattern[] = byFirstWord.get("") ?? [];

function groupByFirstWord(): ReadonlyMap<string, readonly PhrasePattern[]> {
  const groups = new Map<string, PhrasePattern[]>();
  for (const phrase of phrases) {
    const word = phrase.text.split(" ")[0]!.toLowerCase();
    const key = word.includes("{") ? "" : word;
    groups.set(key, [...(groups.get(key) ?? []), { phrase, pattern: patternOf(phrase.text) }]);
  }
  return groups;
}

/** The whole sentence from where the reader stands, its first letter in either case. */
function patternOf(text: string): RegExp {
  const first = text[0]!;
  const start = /[a-z]/i.test(first) ? `[${first.toLowerCase()}${first.toUpperCase()}]` : "";
  const rest = (start === "" ? text : text.slice(1))
    .replace(/[.?+]/g, "\\$&")
    .replace(/\{(\w+)\}/g, (_, slot: string) => slotPatterns[slot]!);
  return new RegExp(`${start}${rest}(?: |$)`, "y");
}
