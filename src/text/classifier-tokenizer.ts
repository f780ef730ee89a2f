/**
 * Pairs of texts → token ids for encoders (BERT, RoBERTa, DeBERTa and their like) that judge an answer to a
 * question. Texts never become control tokens, whatever they spell. Knows nothing of models.
 *
 * The library supplies WordPiece and Unigram; it is given vocabularies in which no special token can match.
 */
import { join } from "node:path";
import { Tokenizer as Library } from "@huggingface/tokenizers";
import { type Static, Type } from "typebox";
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import { readCheckpointJson } from "../base/json-file.ts";
import { type AddedTokenSplitters, addedTokenSplitters } from "./added-tokens.ts";
import { createNormalizer, type Normalizer } from "./normalizer.ts";
import { type PairTemplate, pairTemplate } from "./pair-template.ts";
import { portablePreTokenizer } from "./pre-tokenizer.ts";
import { Tokenizer } from "./tokenizer.ts";
import { AddedToken, readTokenizerConfig, Step, tokenName } from "./tokenizer-files.ts";

export interface PairIds {
  /** From the first control token to the one before the answer. */
  readonly question: readonly number[];
  readonly answer: readonly number[];
}

export interface PairTokenizer {
  readonly template: PairTemplate;
  encodePair(question: string, answer: string): PairIds;
}

/** @throws GatewayError checkpoint_invalid when a file is missing, corrupt or of a kind not supported. */
export async function loadPairTokenizer(folder: string): Promise<PairTokenizer> {
  const path = join(folder, "tokenizer.json");
  const { model } = await readCheckpointJson(path, Type.Object({ model: Step }));
  const file = await readCheckpointJson(path, PairFile);
  const text = model.type === "BPE" ? await bpeText(folder) : await wordText(folder, path);
  const template = pairTemplate(file.post_processor, (token) => text.idOf(token), path);
  const { before, between, after } = template;
  return {
    template,
    encodePair: (question, answer) => ({
      question: [...before, ...text.encode(question), ...between],
      answer: [...text.encode(answer), ...after],
    }),
  };
}

interface TextIds {
  encode(text: string): number[];
  idOf(token: string): number | null;
}

async function bpeText(folder: string): Promise<TextIds> {
  const tokenizer = await Tokenizer.load(folder);
  return {
    encode: (text) => tokenizer.encode(text),
    idOf: (token) => tokenizer.idOf(token),
  };
}

async function wordText(folder: string, path: string): Promise<TextIds> {
  const { model, ...file } = await readCheckpointJson(path, WordFile);
  const config = await readTokenizerConfig(folder);
  const { added_tokens: added = [] } = file;
  const isSingle = added.find((token) => token.single_word);
  if (isSingle) throw unsupported(path, `added token '${isSingle.content}' has 'single_word'`);
  const special = new Set([
    ...added.filter((token) => token.special).map(({ content }) => content),
    ...[config.bos_token, config.eos_token, config.pad_token, config.unk_token].flatMap(
      (token) => tokenName(token) ?? [],
    ),
  ]);
  const vocabulary =
    model.type === "WordPiece"
      ? Object.entries(model.vocab)
      : model.vocab.map(([token], id) => [token, id] as const);
  const ids = new Map([...vocabulary, ...added.map(({ content, id }) => [content, id] as const)]);
  const unknown = model.type === "WordPiece" ? ids.get(model.unk_token) : model.unk_id;
  if (unknown === undefined) throw unsupported(path, "its model has no unknown token");
  const normalizer = createNormalizer(file.normalizer, path);
  return {
    encode: encoder({
      library: wordLibrary(model, portablePreTokenizer(file.pre_tokenizer, path), special),
      ids,
      unknown,
      normalizer,
      splitters: addedTokenSplitters(
        added.filter((token) => !special.has(token.content)),
        normalizer,
      ),
    }),
    idOf: (token) => ids.get(token) ?? null,
  };
}

interface EncoderParts {
  readonly library: Library;
  readonly ids: ReadonlyMap<string, number>;
  readonly unknown: number;
  readonly normalizer: Normalizer;
  readonly splitters: AddedTokenSplitters;
}

function encoder({ library, ids, unknown, normalizer, splitters }: EncoderParts) {
  const { pre_tokenizer: preTokenizer, model } = library;
  assert(model !== null, "The library made a tokenizer without a model");
  return (text: string): number[] =>
    splitters.raw.split(wellFormed(text)).flatMap((section, index) => {
      if (typeof section === "number") return [section];
      return splitters.normalized.split(normalizer(section)).flatMap((part) => {
        if (typeof part === "number") return [part];
        const words = preTokenizer ? preTokenizer(part, { section_index: index }) : [part];
        // Word by word: unknown characters become one token within a word only.
        return words.flatMap((word) => model([word]).map((token) => ids.get(token) ?? unknown));
      });
    });
}

/** NOTE: a Unigram's ids are places in a list, so special pieces stay in it, spelled as no text can be. */
function wordLibrary(
  model: Static<typeof WordFile>["model"],
  preTokenizer: object | null,
  special: ReadonlySet<string>,
): Library {
  const guarded =
    model.type === "WordPiece"
      ? { ...model, vocab: without(model.vocab, special, model.unk_token) }
      : {
          ...model,
          vocab: model.vocab.map(([piece, score], id) => [
            special.has(piece) || id === model.unk_id ? `${LONE_SURROGATE}${id}` : piece,
            score,
          ]),
        };
  const plain = { normalizer: null, post_processor: null, decoder: null, added_tokens: [] };
  return new Library({ ...plain, pre_tokenizer: preTokenizer, model: guarded }, {});
}

const LONE_SURROGATE = "\uD800";
const wellFormed = (text: string) => text.replace(/\p{Surrogate}/gu, "\uFFFD");

/** The unknown token must stay: it is given by name. Its brackets keep it from matching, being punctuation. */
function without(
  vocab: Readonly<Record<string, number>>,
  special: ReadonlySet<string>,
  kept: string,
) {
  return Object.fromEntries(
    Object.entries(vocab).filter(([token]) => token === kept || !special.has(token)),
  );
}

function unsupported(path: string, problem: string): GatewayError {
  const remedy = "Supported: BPE, WordPiece and Unigram as Hugging Face's tokenizers write them.";
  return new GatewayError("checkpoint_invalid", { path, problem, remedy });
}

const nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

const PairFile = Type.Object({ post_processor: nullable(Step) });

const WordFile = Type.Object({
  added_tokens: Type.Optional(Type.Array(AddedToken)),
  normalizer: nullable(Step),
  pre_tokenizer: nullable(Step),
  model: Type.Union([
    Type.Object({
      type: Type.Literal("WordPiece"),
      vocab: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
      unk_token: Type.String({ minLength: 1 }),
      continuing_subword_prefix: Type.String(),
      max_input_chars_per_word: Type.Optional(Type.Integer({ minimum: 1 })),
    }),
    Type.Object({
      type: Type.Literal("Unigram"),
      vocab: Type.Array(Type.Tuple([Type.String(), Type.Number()])),
      unk_id: Type.Integer({ minimum: 0 }),
      byte_fallback: Type.Optional(Type.Literal(false)),
    }),
  ]),
});
