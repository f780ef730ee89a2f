/** Small tokenizers for the tests of this folder, and the Rust library's answers about them. */

import { readFileSync } from "node:fs";
import { trainByteLevelBpe } from "../../src/text/bpe-trainer.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import type { TokenizerFile } from "../../src/text/tokenizer-files.ts";

export interface Sample {
  text: string;
  ids: number[];
  withSpecial: number[];
  decoded: string;
}

interface RustAnswers {
  trained: {
    corpus: string[];
    vocabSize: number;
    specialTokens: string[];
    merges: string[];
    samples: Sample[];
  };
  sentencePiece: { tokenizer: TokenizerFile; samples: Sample[] };
  sentencePieceFirst: { overrides: Partial<TokenizerFile>; samples: Sample[] };
}

const path = new URL("../fixtures/rust-tokenizers.json", import.meta.url);
// The fixture is written by the Rust library; its shape is the one above.
export const rust = JSON.parse(readFileSync(path, "utf8")) as RustAnswers;

export const chatTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];

export function byteLevelTokenizer(): Tokenizer {
  return new Tokenizer({
    path: "tokenizer.json",
    tokenizer: trainByteLevelBpe(rust.trained.corpus, rust.trained),
    config: { eos_token: "<|im_end|>", pad_token: { content: "<|endoftext|>" } },
  });
}

export function sentencePieceTokenizer(overrides: Partial<TokenizerFile> = {}): Tokenizer {
  return new Tokenizer({
    path: "tokenizer.json",
    tokenizer: { ...rust.sentencePiece.tokenizer, ...overrides },
    config: { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  });
}
