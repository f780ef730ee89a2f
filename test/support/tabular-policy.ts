/** A whole policy over the four tokens a, b, c and "end", each row of its law written down. */
import { createPolicy, type PolicyParts } from "../../src/registry/policy.ts";
import type { Policy, TextSampling } from "../../src/registry/types.ts";
import { trainByteLevelBpe } from "../../src/text/bpe-trainer.ts";
import { ChatTemplate, chatMlTemplate } from "../../src/text/chat-template.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import type { TokenizerFile } from "../../src/text/tokenizer-files.ts";
import { type Law, tabularGenerator } from "./tabular-generator.ts";

/** Bytes, ChatML's control tokens, and merges learnt from the texts. */
export function chatTokenizer(texts: readonly string[] = [], vocabSize = 259): Tokenizer {
  const specialTokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
  const trained = trainByteLevelBpe(texts, { vocabSize, specialTokens });
  return new Tokenizer({
    path: "tokenizer.json",
    // written for other libraries to read, so its type says less than the reader's
    tokenizer: trained as unknown as TokenizerFile,
    config: { eos_token: "<|im_end|>" },
  });
}

export const tokenizer = chatTokenizer();
export const template = new ChatTemplate(chatMlTemplate);
export const end = tokenizer.endIds[0]!;

const [a, b, c] = ["a", "b", "c"].map((letter) => tokenizer.idOf(letter)!) as [
  number,
  number,
  number,
];
const row = (...p: readonly [number, number, number, number]): ReadonlyMap<number, number> =>
  new Map([a, b, c, end].map((id, at) => [id, p[at]!]));
const first = row(0.4, 0.3, 0.2, 0.1);
const following = new Map([
  [a, row(0.1, 0.5, 0.2, 0.2)],
  [b, row(0.3, 0.1, 0.2, 0.4)],
  [c, row(0.25, 0.25, 0.25, 0.25)],
]);

/** What follows depends on the last token alone. */
export const law: Law = (history) => following.get(history.at(-1)!) ?? first;

/** The same tokens after the same ones, each with a probability ∝ p^(1/temperature). */
export const tempered =
  (temperature: number): Law =>
  (history) => {
    const weights = [...law(history)].map(([id, p]) => [id, p ** (1 / temperature)] as const);
    const total = weights.reduce((sum, [, weight]) => sum + weight, 0);
    return new Map(weights.map(([id, weight]) => [id, weight / total]));
  };

/** Of another policy with the same tokens: one row, whatever came before. */
export const otherLaw: Law = () => others;
const others = row(0.11, 0.17, 0.23, 0.49);

export function tabularPolicy({
  contextTokens = 64,
  law: rows = law,
  ...rest
}: Partial<PolicyParts> & { contextTokens?: number; law?: Law } = {}): Policy {
  const generator = tabularGenerator({ law: rows, vocabSize: tokenizer.vocabSize, contextTokens });
  return createPolicy({
    id: "table",
    created: 1_700_000_000,
    generator,
    tokenizer,
    template,
    ...rest,
  });
}

/** The policy's own law: no temperature, no filter. */
export function plainSampling(overrides: Partial<TextSampling> = {}): TextSampling {
  return { ...tabularPolicy().defaults, maxTokens: 8, seed: 1, ...overrides };
}
