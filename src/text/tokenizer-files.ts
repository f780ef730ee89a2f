/**
 * The two files that describe a tokenizer in a Hugging Face checkpoint, `tokenizer.json` and
 * `tokenizer_config.json`: reading, checking, writing. Knows nothing of encoding.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { readCheckpointJson } from "../base/json-file.ts";
import type { TokenizerJson } from "./bpe-trainer.ts";

export const AddedToken = Type.Object({
  id: Type.Integer({ minimum: 0 }),
  content: Type.String({ minLength: 1 }),
  single_word: Type.Optional(Type.Boolean()),
  lstrip: Type.Optional(Type.Boolean()),
  rstrip: Type.Optional(Type.Boolean()),
  normalized: Type.Optional(Type.Boolean()),
  special: Type.Optional(Type.Boolean()),
});
export type AddedToken = Static<typeof AddedToken>;

const nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Optional(Type.Union([schema, Type.Null()]));
/** A step of the pipeline: its type, and settings that only the step itself reads. */
export const Step = Type.Object({ type: Type.String() });

const Model = Type.Object({
  type: Type.Literal("BPE"),
  vocab: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
  merges: Type.Array(Type.Union([Type.String(), Type.Tuple([Type.String(), Type.String()])])),
  unk_token: nullable(Type.String()),
  dropout: nullable(Type.Number({ maximum: 0 })),
  continuing_subword_prefix: nullable(Type.Literal("")),
  end_of_word_suffix: nullable(Type.Literal("")),
});

const TokenizerFile = Type.Object({
  added_tokens: Type.Optional(Type.Array(AddedToken)),
  normalizer: nullable(Step),
  pre_tokenizer: nullable(Step),
  post_processor: nullable(Step),
  decoder: Step,
  model: Model,
});
export type TokenizerFile = Static<typeof TokenizerFile>;

/** Written as a string, or as an added token. */
const TokenName = nullable(
  Type.Union([Type.String(), Type.Object({ content: Type.String({ minLength: 1 }) })]),
);
const NamedTemplate = Type.Object({ name: Type.String(), template: Type.String() });

const TokenizerConfig = Type.Object({
  bos_token: TokenName,
  eos_token: TokenName,
  pad_token: TokenName,
  unk_token: TokenName,
  additional_special_tokens: nullable(
    Type.Array(Type.Union([Type.String(), Type.Object({ content: Type.String() })])),
  ),
  chat_template: nullable(Type.Union([Type.String(), Type.Array(NamedTemplate)])),
});
export type TokenizerConfig = Static<typeof TokenizerConfig>;

export interface TokenizerFiles {
  /** Where `tokenizer.json` was read; named in errors. */
  path: string;
  tokenizer: TokenizerFile;
  config: TokenizerConfig;
}

/** @throws GatewayError checkpoint_invalid when a file is missing, corrupt or of a kind not supported. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const path = join(folder, "tokenizer.json");
  const { model } = await readCheckpointJson(path, Type.Object({ model: Step }));
  if (model.type !== "BPE") {
    throw new GatewayError("checkpoint_invalid", {
      path,
      problem: `the tokenizer's model is '${model.type}'`,
      remedy: "Supported: BPE, byte-level or with SentencePiece's byte fallback.",
    });
  }
  const tokenizer = await readCheckpointJson(path, TokenizerFile);
  return { path, tokenizer, config: await readTokenizerConfig(folder) };
}

/** @throws GatewayError checkpoint_invalid when `tokenizer_config.json` is missing or corrupt. */
export function readTokenizerConfig(folder: string): Promise<TokenizerConfig> {
  return readCheckpointJson(join(folder, "tokenizer_config.json"), TokenizerConfig);
}

/** Makes the folder; Python's `AutoTokenizer` reads the result. */
export async function writeTokenizerFiles(
  folder: string,
  { tokenizer, config }: { tokenizer: TokenizerJson; config: TokenizerConfig },
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "tokenizer.json"), `${JSON.stringify(tokenizer, null, 1)}\n`);
  const named = { tokenizer_class: "PreTrainedTokenizerFast", clean_up_tokenization_spaces: false };
  const text = JSON.stringify({ ...named, ...config }, null, 2);
  await writeFile(join(folder, "tokenizer_config.json"), `${text}\n`);
}

/** The token's text, however the file writes it. */
export function tokenName(token: TokenizerConfig["eos_token"]): string | null {
  return (typeof token === "object" ? token?.content : token) ?? null;
}

/** The texts of bos, eos, pad and unk, as chat templates call them (`bos_token`); absent ones are absent. */
export function namedTokens(config: TokenizerConfig): Record<string, string> {
  const keys = ["bos_token", "eos_token", "pad_token", "unk_token"] as const;
  return Object.fromEntries(
    keys.flatMap((key) => {
      const name = tokenName(config[key]);
      return name === null ? [] : [[key, name]];
    }),
  );
}
