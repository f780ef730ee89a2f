/**
 * A byte-level vocabulary as llama.cpp reads it from a GGUF file. llama.cpp has its ways of cutting text
 * compiled in and knows them by name, so a way without a name there is refused.
 */

import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { GatewayError } from "../base/errors.ts";
import { wordPattern } from "../text/pre-tokenizer.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { readTokenizerFiles, type TokenizerFiles, tokenName } from "../text/tokenizer-files.ts";
import type { ModelConfig } from "./config.ts";
import type { GgufValue } from "./gguf-file.ts";

/** llama.cpp's kinds of tokens; source: gguf-py's TokenType. */
const tokenTypes = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** Llama 3's words, with its groups of digits; source: github.com/meta-llama/llama3, llama/tokenizer.py. */
const llama3Words = (digits: string) =>
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const digit = String.raw`\p{N}`;

/** Patterns, applied one after the other → llama.cpp's name; source: its src/llama-vocab.cpp. */
const preTokenizers: ReadonlyMap<string, string> = new Map([
  [wordPattern, "gpt-2"],
  [`${digit}\n${wordPattern}`, "smollm"],
  [llama3Words(String.raw`\p{N}{1,3}`), "llama-bpe"],
  [llama3Words(digit), "qwen2"],
]);

/**
 * @param template the chat template's source; null for a model that cannot chat.
 * @throws GatewayError checkpoint_invalid for a vocabulary that llama.cpp would read in another way.
 */
export async function ggufVocabulary(
  folder: string,
  config: ModelConfig,
  template: string | null,
): Promise<Map<string, GgufValue>> {
  const files = await readTokenizerFiles(folder);
  const tokenizer = new Tokenizer(files);
  const { tokens, types } = tokensOf(files, tokenizer, config.vocabSize);
  const merges = files.tokenizer.model.merges.map((merge) =>
    typeof merge === "string" ? merge : merge.join(" "),
  );
  const id = (value: number): GgufValue => ({ type: "uint32", value });
  const bos = idNamed(tokenizer, tokenName(files.config.bos_token)) ?? config.bosId;
  const pad = idNamed(tokenizer, tokenName(files.config.pad_token)) ?? config.padId;
  const ends = [...new Set([...tokenizer.endIds, ...config.eosIds])];
  const around = tokenizer.encode("", { addSpecial: true });
  const entries: (readonly [string, GgufValue | null])[] = [
    ["model", { type: "string", value: "gpt2" }],
    ["pre", { type: "string", value: preTokenizerName(files) }],
    ["tokens", { type: "strings", value: tokens }],
    ["token_type", { type: "int32s", value: types }],
    ["merges", { type: "strings", value: merges }],
    ["bos_token_id", bos === null ? null : id(bos)],
    ["eos_token_id", ends[0] === undefined ? null : id(ends[0])],
    ["eot_token_id", ends[1] === undefined ? null : id(ends[1])],
    ["padding_token_id", pad === null ? null : id(pad)],
    ["add_bos_token", { type: "bool", value: bos !== null && around[0] === bos }],
    ["add_eos_token", { type: "bool", value: around.length > 0 && ends.includes(around.at(-1)!) }],
  ];
  const metadata = new Map<string, GgufValue>();
  for (const [key, value] of entries) if (value) metadata.set(`tokenizer.ggml.${key}`, value);
  if (template !== null)
    metadata.set("tokenizer.chat_template", { type: "string", value: template });
  return metadata;
}

/** A text for every row of the embedding: llama.cpp takes their number for the vocabulary's size. */
function tokensOf(
  { tokenizer: { model, added_tokens } }: TokenizerFiles,
  tokenizer: Tokenizer,
  size: number,
) {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = Array.from({ length: size }, (): number => tokenTypes.unused);
  const set = (id: number, text: string, type: number) => {
    tokens[id] = text;
    types[id] = tokenizer.specialIds.has(id) ? tokenTypes.control : type;
  };
  for (const [text, id] of Object.entries(model.vocab)) set(id, text, tokenTypes.normal);
  for (const { id, content } of added_tokens ?? []) set(id, content, tokenTypes.userDefined);
  return { tokens, types };
}

function idNamed(tokenizer: Tokenizer, name: string | null): number | null {
  return name === null ? null : tokenizer.idOf(name);
}

const Split = Type.Object({
  type: Type.Literal("Split"),
  pattern: Type.Object({ Regex: Type.String() }),
  behavior: Type.Literal("Isolated"),
  invert: Type.Optional(Type.Literal(false)),
});
const Digits = Type.Object({
  type: Type.Literal("Digits"),
  individual_digits: Type.Literal(true),
});
const ByteLevel = Type.Object({
  type: Type.Literal("ByteLevel"),
  add_prefix_space: Type.Literal(false),
  use_regex: Type.Optional(Type.Boolean()),
});
const Sequence = Type.Object({
  type: Type.Literal("Sequence"),
  pretokenizers: Type.Array(Type.Union([Split, Digits, ByteLevel])),
});

function preTokenizerName({ path, tokenizer }: TokenizerFiles): string {
  const { pre_tokenizer: given, normalizer } = tokenizer;
  const steps = Value.Check(ByteLevel, given) ? { pretokenizers: [given] } : given;
  const isKnown = Value.Check(Type.Omit(Sequence, ["type"]), steps);
  const name = isKnown && preTokenizers.get(steps.pretokenizers.flatMap(patternOf).join("\n"));
  // NFC leaves composed text as it is, and llama.cpp leaves all text as it is.
  const isNormalizerKnown = !normalizer || normalizer.type === "NFC";
  if (name && isNormalizerKnown) return name;
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: isNormalizerKnown
      ? "llama.cpp has no name for the way its pre_tokenizer cuts text"
      : `llama.cpp has no normalizer '${normalizer.type}'`,
    remedy: `Exported to GGUF are byte-level vocabularies that cut like ${[...preTokenizers.values()].join(", ")}.`,
  });
}

/** What a step cuts at, if it cuts. */
function patternOf(step: Static<typeof Sequence>["pretokenizers"][number]): string[] {
  switch (step.type) {
    case "Split":
      return [step.pattern.Regex];
    case "Digits":
      return [digit];
    case "ByteLevel":
      return step.use_regex === false ? [] : [wordPattern];
  }
}
