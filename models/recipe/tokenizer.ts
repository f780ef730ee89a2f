/** The tokenizer both embedded models share: byte-level BPE on the corpus, every digit a token. */
import { sftExamples } from "../../src/corpus/index.ts";
import { trainByteLevelBpe } from "../../src/text/bpe-trainer.ts";
import { chatMlTemplate } from "../../src/text/chat-template.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import { writeTokenizerFiles } from "../../src/text/tokenizer-files.ts";
import { tokenizerSettings } from "./settings.ts";

/** Trains it and writes its files to a folder. */
export async function buildTokenizer(folder: string): Promise<Tokenizer> {
  const { vocabSize, specialTokens } = tokenizerSettings;
  const tokenizer = trainByteLevelBpe(corpusTexts(), {
    vocabSize,
    specialTokens: [...specialTokens],
  });
  const config = { eos_token: "<|im_end|>", pad_token: "<|pad|>", chat_template: chatMlTemplate };
  await writeTokenizerFiles(folder, { tokenizer, config });
  return Tokenizer.load(folder);
}

function* corpusTexts(): Generator<string> {
  let left = tokenizerSettings.examples;
  for (const { prompt, reply } of sftExamples(tokenizerSettings.seed)) {
    if (left-- === 0) return;
    yield* prompt.messages.map((message) => message.content);
    yield reply.text;
  }
}
