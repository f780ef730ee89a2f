/**
 * Rewrites the pre-tokenizer of a `tokenizer.json` into steps that mean the same in JavaScript as in the
 * Rust library that trained the vocabulary, and refuses the ones for which there is no such rewriting.
 */

import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { GatewayError } from "../base/errors.ts";

/** GPT-2's words. Source: github.com/openai/gpt-2, src/encoder.py. */
export const wordPattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** A step that cuts the text into the pattern's matches and what lies between them. */
export function splitStep(pattern: string) {
  return {
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  } as const;
}

/** A step that writes bytes as characters, without cutting. */
export function byteLevelStep() {
  return {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: true,
    use_regex: false,
  } as const;
}

/**
 * @param step `pre_tokenizer` of the file at `path`; null means the text is one piece.
 * @throws GatewayError checkpoint_invalid for a step that would cut differently here.
 */
export function portablePreTokenizer(step: unknown, path: string): object | null {
  if (step === null || step === undefined) return null;
  if (Value.Check(Step, step)) return portable(step, path);
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `the pre-tokenizer ${JSON.stringify(step)} is not supported`,
    remedy:
      "Supported: BertPreTokenizer, ByteLevel, Digits, Metaspace, Punctuation, Sequence, Split (Isolated or Removed), Whitespace and WhitespaceSplit.",
  });
}

const ByteLevel = Type.Object({
  type: Type.Literal("ByteLevel"),
  add_prefix_space: Type.Optional(Type.Boolean()),
  use_regex: Type.Optional(Type.Boolean()),
});
const Digits = Type.Object({
  type: Type.Literal("Digits"),
  individual_digits: Type.Optional(Type.Boolean()),
});
const Metaspace = Type.Object({
  type: Type.Literal("Metaspace"),
  replacement: Type.Optional(Type.String({ minLength: 1 })),
  prepend_scheme: Type.Optional(Type.Enum(["always", "first", "never"])),
  add_prefix_space: Type.Optional(Type.Boolean()),
  split: Type.Optional(Type.Boolean()),
});
const Split = Type.Object({
  type: Type.Literal("Split"),
  behavior: Type.Enum(["Isolated", "Removed"]),
  invert: Type.Optional(Type.Boolean()),
});
const Sequence = Type.Object({
  type: Type.Literal("Sequence"),
  pretokenizers: Type.Array(Type.Unknown()),
});
const Punctuation = Type.Object({
  type: Type.Literal("Punctuation"),
  behavior: Type.Optional(Type.Literal("Isolated")),
});
const Words = Type.Object({
  type: Type.Enum(["BertPreTokenizer", "Whitespace", "WhitespaceSplit"]),
});
const Step = Type.Union([ByteLevel, Digits, Metaspace, Split, Sequence, Punctuation, Words]);

/** NOTE: JavaScript's \s is not Unicode's White_Space, nor its \w Unicode's words. */
const whiteSpaceRemoved = {
  type: "Split",
  pattern: { Regex: String.raw`\p{White_Space}+` },
  behavior: "Removed",
  invert: false,
} as const;
/** ASCII's symbols count as punctuation. */
const punctuation = String.raw`[\p{P}!-\/:-@\[-\u0060\{-~]`;
const word = String.raw`[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]`;

function portable(step: Static<typeof Step>, path: string): object | null {
  switch (step.type) {
    case "ByteLevel":
      // NOTE: JavaScript's \s, used by the library's own pattern, is not Unicode's White_Space.
      if (step.use_regex === false || step.add_prefix_space) return step;
      return sequence(splitStep(wordPattern), byteLevelStep());
    case "Digits": // NOTE: the library's \d is ASCII only; Rust's digits are all of \p{N}.
      return splitStep(step.individual_digits ? String.raw`\p{N}` : String.raw`\p{N}+`);
    case "Metaspace":
      return portableMetaspace(step);
    case "Sequence":
      return sequence(...step.pretokenizers.map((inner) => portablePreTokenizer(inner, path)));
    case "Punctuation": // NOTE: the library joins neighbours; isolated means each for itself.
      return splitStep(punctuation);
    case "BertPreTokenizer":
      return sequence(whiteSpaceRemoved, splitStep(punctuation));
    case "WhitespaceSplit":
      return whiteSpaceRemoved;
    case "Whitespace":
      return sequence(whiteSpaceRemoved, splitStep(`${word}+`));
    case "Split":
      return step;
  }
}

/** NOTE: the library ignores `split` (cut before each ▁, on by default) and the older `add_prefix_space`. */
function portableMetaspace(step: Static<typeof Metaspace>): object {
  const mark = step.replacement ?? "▁";
  const scheme = step.prepend_scheme ?? (step.add_prefix_space === false ? "never" : "always");
  const metaspace = { type: "Metaspace", replacement: mark, prepend_scheme: scheme };
  return step.split === false
    ? metaspace
    : sequence(metaspace, splitStep(`${mark}[^${mark}]*|[^${mark}]+`));
}

function sequence(...pretokenizers: (object | null)[]) {
  return { type: "Sequence", pretokenizers: pretokenizers.filter((step) => step !== null) };
}
