/**
 * The normalizer of a `tokenizer.json`, with the results of the Rust library that the vocabulary was trained
 * with. The JavaScript library's own differ on final sigmas, white space, astral ideographs and character maps.
 */
import { type Static, type TSchema, Type } from "typebox";
import { Value } from "typebox/value";
import { GatewayError } from "../base/errors.ts";
import { characterMap } from "./character-map.ts";

export type Normalizer = (text: string) => string;

/**
 * @param step `normalizer` of the file at `path`; null means the text stays as it is.
 * @throws GatewayError checkpoint_invalid for a step that is not known.
 */
export function createNormalizer(step: unknown, path: string): Normalizer {
  if (step === null || step === undefined) return (text) => text;
  for (const make of steps) {
    const normalizer = make(step, path);
    if (normalizer) return normalizer;
  }
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `the normalizer ${JSON.stringify(step).slice(0, 200)} is not supported`,
    remedy:
      "Supported: Sequence, BertNormalizer, Precompiled, Replace, Strip, StripAccents, Lowercase, Prepend, NFC, NFD, NFKC, NFKD.",
  });
}

/** A step that fits the schema, or null. */
type Make = (step: unknown, path: string) => Normalizer | null;

function step<S extends TSchema>(
  schema: S,
  make: (settings: Static<S>, path: string) => Normalizer,
): Make {
  return (value, path) => (Value.Check(schema, value) ? make(value, path) : null);
}

const named = <N extends string>(name: N) => ({ type: Type.Literal(name) });
const flag = Type.Optional(Type.Union([Type.Boolean(), Type.Null()]));

const steps: readonly Make[] = [
  step(
    Type.Object({ ...named("Sequence"), normalizers: Type.Array(Type.Unknown()) }),
    ({ normalizers }, path) => {
      const all = normalizers.map((inner) => createNormalizer(inner, path));
      return (text) => all.reduce((normalized, normalizer) => normalizer(normalized), text);
    },
  ),
  step(
    Type.Object({
      ...named("BertNormalizer"),
      clean_text: flag,
      handle_chinese_chars: flag,
      strip_accents: flag,
      lowercase: flag,
    }),
    (settings) => (text) => {
      const { clean_text = true, handle_chinese_chars = true, lowercase = true } = settings;
      let normalized = clean_text ? cleaned(text) : text;
      if (handle_chinese_chars) normalized = normalized.replace(ideographs, " $& ");
      if (settings.strip_accents ?? lowercase)
        normalized = normalized.normalize("NFD").replace(/\p{Mn}/gu, "");
      return lowercase ? lowercased(normalized) : normalized;
    },
  ),
  step(
    Type.Object({ ...named("Precompiled"), precompiled_charsmap: Type.String() }),
    ({ precompiled_charsmap: encoded }, path) => characterMap(encoded, path),
  ),
  step(
    Type.Object({
      ...named("Replace"),
      pattern: Type.Union([
        Type.Object({ String: Type.String({ minLength: 1 }) }),
        Type.Object({ Regex: Type.String({ minLength: 1 }) }),
      ]),
      content: Type.String(),
    }),
    ({ pattern, content }, path) => {
      const sought = "String" in pattern ? pattern.String : regexOf(pattern.Regex, path);
      return (text) => text.replaceAll(sought, () => content);
    },
  ),
  step(
    Type.Object({ ...named("Strip"), strip_left: flag, strip_right: flag }),
    ({ strip_left = true, strip_right = true }) =>
      (text) => {
        const right = strip_right ? text.replace(/\p{White_Space}+$/u, "") : text;
        return strip_left ? right.replace(/^\p{White_Space}+/u, "") : right;
      },
  ),
  step(Type.Object(named("StripAccents")), () => (text) => text.replace(/\p{M}/gu, "")),
  step(Type.Object(named("Lowercase")), () => lowercased),
  step(
    Type.Object({ ...named("Prepend"), prepend: Type.String() }),
    ({ prepend }) =>
      (text) =>
        text === "" ? text : prepend + text,
  ),
  step(
    Type.Object({ type: Type.Enum(["NFC", "NFD", "NFKC", "NFKD"]) }),
    ({ type }) =>
      (text) =>
        text.normalize(type),
  ),
];

/** Without control characters, every white space a space. */
function cleaned(text: string): string {
  return text
    .replace(/[\t\n\r]/g, " ")
    .replace(/[\0\uFFFD\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, "")
    .replace(/\p{White_Space}/gu, " ");
}

/** CJK ideographs. NOTE: U+2B820 to U+2B91F are left out, as the Rust library leaves them out. */
const ideographs =
  /[\u4E00-\u9FFF\u3400-\u4DBF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\uF900-\uFAFF\u{2F800}-\u{2FA1F}]/gu;

/** NOTE: character by character, so that a sigma at a word's end is as any other. */
const lowercased = (text: string) => Array.from(text, (part) => part.toLowerCase()).join("");

function regexOf(source: string, path: string): RegExp {
  try {
    return new RegExp(source, "gu");
  } catch (cause) {
    const problem = `the normalizer's pattern '${source}' is not supported`;
    const remedy = "Write it so that JavaScript reads it, too.";
    throw new GatewayError("checkpoint_invalid", { path, problem, remedy }, { cause });
  }
}
