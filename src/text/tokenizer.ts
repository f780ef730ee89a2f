/**
 * Text ⇄ token ids for one vocabulary: the only file that calls `@huggingface/tokenizers`.
 * It knows nothing of conversations and nothing of models.
 *
 * The library supplies the steps (normaliser, pre-tokenizer, BPE). Splitting at added tokens is done here,
 * because the library always reads `<|im_end|>` in a text as the control token, and text that a user wrote
 * must never become one. For the same reason the library's vocabulary is given without special tokens.
 */

import { Tokenizer as Library } from "@huggingface/tokenizers";
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import { type AddedTokenSplitters, addedTokenSplitters } from "./added-tokens.ts";
import { portablePreTokenizer } from "./pre-tokenizer.ts";
import { type TokenBytes, tokenBytes } from "./token-bytes.ts";
import {
  type AddedToken,
  namedTokens,
  readTokenizerFiles,
  type TokenizerFiles,
  tokenName,
} from "./tokenizer-files.ts";

export interface EncodeOptions {
  /** Put the vocabulary's own begin and end tokens around the text, where its post-processor says so. */
  addSpecial?: boolean;
  /** How `<|im_end|>` in the text is read: as the characters it is made of, or as the control token. */
  special?: "text" | "parse";
  /** The string that `guard` put into the text; it leaves no trace in the ids. */
  mark?: string;
}

export class Tokenizer {
  /** One more than the largest id. A model's embedding may have more rows, never fewer. */
  readonly vocabSize: number;
  /** Ids that `decode` leaves out. */
  readonly specialIds: ReadonlySet<number>;
  /** Ids that end an answer, from `eos_token`; empty when the vocabulary names none. */
  readonly endIds: readonly number[];
  /** Spaces that decoding takes off the start of a text: 1 for SentencePiece vocabularies, else 0. */
  readonly leadingSpaces: number;

  readonly #special: readonly string[];
  /** First characters of special tokens. */
  readonly #specialStarts: ReadonlySet<string>;
  readonly #library: Library;
  readonly #bytes: TokenBytes["bytes"];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #splitters: Record<"text" | "parse", AddedTokenSplitters>;
  readonly #around: { before: readonly number[]; after: readonly number[] };
  /** Others, once compared: vocabularies are large and stay what they are. */
  readonly #compared = new WeakMap<Tokenizer, boolean>();

  /** @throws GatewayError checkpoint_invalid when a file is missing, corrupt or of a kind not supported. */
  static async load(folder: string): Promise<Tokenizer> {
    return new Tokenizer(await readTokenizerFiles(folder));
  }

  /** @throws GatewayError checkpoint_invalid when the files contradict themselves. */
  constructor(files: TokenizerFiles) {
    const { bytes, leadingSpaces } = tokenBytes(files);
    const special = specialTokens(files);
    const added = addedTokens(files, special);
    refuseUnsupported(added, files.path);
    this.vocabSize = bytes.length;
    this.leadingSpaces = leadingSpaces;
    this.#special = [...special];
    this.#specialStarts = new Set(this.#special.map((token) => token[0]!));
    this.#bytes = bytes;
    this.#ids = new Map([
      ...Object.entries(files.tokenizer.model.vocab),
      ...added.map(({ content, id }) => [content, id] as const),
    ]);
    this.specialIds = new Set(this.#special.flatMap((token) => this.idOf(token) ?? []));
    this.endIds = endIds(files, this.#ids);
    this.#library = library(files, special);
    const ordinary = added.filter((token) => !token.special);
    this.#splitters = {
      text: addedTokenSplitters(ordinary, this.#library.normalizer),
      parse: addedTokenSplitters(added, this.#library.normalizer),
    };
    this.#around = this.#idsAround();
  }

  /**
   * @returns token ids; by default the text alone, in which no special token can occur.
   * Characters that the vocabulary cannot express are left out, or are its `unk_token`.
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    const { addSpecial = false, special = "text", mark = "" } = options;
    const ids: number[] = [];
    if (addSpecial) ids.push(...this.#around.before);
    this.#splitters[special].raw.split(text).forEach((section, index) => {
      if (typeof section === "number") ids.push(section);
      else
        this.#encodeSection(mark ? section.replaceAll(mark, "") : section, { index, special, ids });
    });
    if (addSpecial) ids.push(...this.#around.after);
    return ids;
  }

  /** Special tokens are left out; bytes that are not UTF-8 become U+FFFD, as the WHATWG decoder does. */
  decode(ids: readonly number[]): string {
    const bytes = ids.flatMap((id) => (this.specialIds.has(id) ? [] : [this.bytesOf(id)]));
    return this.#withoutLeadingSpaces(
      new TextDecoder("utf-8", keepBom).decode(Buffer.concat(bytes)),
    );
  }

  /**
   * Puts the mark into every special token that the text spells, also into one that only begins at its
   * end, so that the text can become part of a longer one, encoded with `special: "parse"`, as mere text.
   * @param mark a string that does not occur in the text.
   */
  guard(text: string, mark: string): string {
    let guarded = "";
    for (let at = 0; at < text.length; at++) {
      guarded += text[at]!;
      if (!this.#specialStarts.has(text[at]!)) continue;
      const isStart = this.#special.some((token) =>
        token.startsWith(text.slice(at, at + token.length)),
      );
      if (isStart) guarded += mark;
    }
    return guarded;
  }

  /** Whether both spell the same ids in the same way. */
  hasTokensOf(other: Tokenizer): boolean {
    const known = other === this || this.#compared.get(other);
    if (known !== undefined) return known;
    const isSame =
      this.#ids.size === other.#ids.size &&
      [...this.#ids].every(([token, id]) => other.#ids.get(token) === id);
    this.#compared.set(other, isSame);
    return isSame;
  }

  /** The id of a token as the vocabulary spells it (`Ġthe`, `▁the`, `<|im_end|>`), or null. */
  idOf(token: string): number | null {
    return this.#ids.get(token) ?? null;
  }

  /** The bytes that a token stands for in a text; none for an id that the vocabulary lacks. */
  bytesOf(id: number): Uint8Array {
    return this.#bytes[id] ?? noBytes;
  }

  #encodeSection(
    section: string,
    { index, special, ids }: { index: number; special: "text" | "parse"; ids: number[] },
  ): void {
    const { normalizer, pre_tokenizer: preTokenizer, model } = this.#library;
    assert(model !== null, "The library made a tokenizer without a model");
    const text = normalizer ? normalizer(section) : section;
    for (const part of this.#splitters[special].normalized.split(text)) {
      if (typeof part === "number") ids.push(part);
      else {
        const words = preTokenizer ? preTokenizer(part, { section_index: index }) : [part];
        for (const token of model(words)) ids.push(this.#ids.get(token)!);
      }
    }
  }

  #withoutLeadingSpaces(text: string): string {
    let start = 0;
    while (start < this.leadingSpaces && text[start] === " ") start++;
    return text.slice(start);
  }

  /** What the post-processor puts before and after a text, seen from what it puts around a stand-in. */
  #idsAround() {
    const standIn = "\u{FDD0}";
    const tokens = this.#library.post_processor?.([standIn], null, true).tokens ?? [standIn];
    const at = tokens.indexOf(standIn);
    const ids = (part: string[]) => part.flatMap((token) => this.idOf(token) ?? []);
    return { before: ids(tokens.slice(0, at)), after: ids(tokens.slice(at + 1)) };
  }
}

const noBytes = new Uint8Array(0);
/** U+FEFF is text like any other: a token may begin with it. */
const keepBom = { ignoreBOM: true };

/** The library's tokenizer without any token that text must not become. `unk_token` stays: BPE needs it. */
function library(
  { path, tokenizer, config }: TokenizerFiles,
  special: ReadonlySet<string>,
): Library {
  const { model } = tokenizer;
  const isKept = (token: string) => !special.has(token) || token === model.unk_token;
  const plain = {
    normalizer: tokenizer.normalizer ?? null,
    pre_tokenizer: portablePreTokenizer(tokenizer.pre_tokenizer, path),
    post_processor: tokenizer.post_processor ?? null,
    decoder: null, // decoding is done here, from the tokens' bytes
    added_tokens: [],
    model: {
      ...model,
      vocab: Object.fromEntries(Object.entries(model.vocab).filter(([token]) => isKept(token))),
      merges: model.merges
        .map((merge) => (typeof merge === "string" ? merge.split(" ") : merge))
        .filter((merge) => isKept(merge.join(""))),
    },
  };
  try {
    return new Library(plain, config);
  } catch (cause) {
    throw new GatewayError(
      "checkpoint_invalid",
      {
        path,
        problem: String(cause),
        remedy: "Export the tokenizer again with a current library.",
      },
      { cause },
    );
  }
}

function specialTokens({ tokenizer, config }: TokenizerFiles): Set<string> {
  return new Set([
    ...(tokenizer.added_tokens ?? [])
      .filter((token) => token.special)
      .map(({ content }) => content),
    ...Object.values(namedTokens(config)),
    ...(config.additional_special_tokens ?? []).flatMap((token) => tokenName(token) ?? []),
  ]);
}

function endIds({ path, config }: TokenizerFiles, ids: ReadonlyMap<string, number>): number[] {
  const token = tokenName(config.eos_token);
  if (token === null) return [];
  const id = ids.get(token);
  if (id !== undefined) return [id];
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `eos_token '${token}' of tokenizer_config.json is not in the vocabulary`,
    remedy: "Copy both files from the same revision of the model.",
  });
}

/** With `special` as decided here, and with special tokens that only `tokenizer_config.json` names. */
function addedTokens({ tokenizer }: TokenizerFiles, special: ReadonlySet<string>): AddedToken[] {
  const { added_tokens: listed = [], model } = tokenizer;
  const contents = new Set(listed.map(({ content }) => content));
  const unlisted = [...special].flatMap((content) => {
    const id = contents.has(content) ? undefined : model.vocab[content];
    return id === undefined ? [] : [{ id, content }];
  });
  return [...listed, ...unlisted].map((token) => ({
    ...token,
    special: special.has(token.content),
  }));
}

function refuseUnsupported(tokens: readonly AddedToken[], path: string): void {
  for (const { content, special, single_word: isSingleWord } of tokens) {
    if (!isSingleWord && !(special && content.length < 2)) continue;
    throw new GatewayError("checkpoint_invalid", {
      path,
      problem: isSingleWord
        ? `added token '${content}' has 'single_word', which is not supported`
        : `special token '${content}' is a single character, which cannot be told from text`,
      remedy: isSingleWord ? "Set it to false." : "Give it a longer name.",
    });
  }
}
