import fc from "fast-check";
import { expect, test } from "vitest";
import { trainByteLevelBpe } from "../../src/text/bpe-trainer.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import { chatTokens, rust } from "./support.ts";

const json = trainByteLevelBpe(rust.trained.corpus, rust.trained);

test("learns the merges that the Rust trainer learns, in its order", () => {
  expect(json.model.merges).toEqual(rust.trained.merges);
});

test("numbers special tokens from 0, then the 256 bytes, then the merges", () => {
  const ids = Object.values(json.model.vocab);
  expect(ids.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 380 }, (_, id) => id));
  expect(chatTokens.map((token) => json.model.vocab[token])).toEqual([0, 1, 2]);
  expect(json.model.vocab["Ġt"]).toBe(3 + 256);
});

test("takes the pair with the smaller ids when two are as frequent", () => {
  const { merges } = trainByteLevelBpe(["ab cd"], { vocabSize: 257, specialTokens: [] }).model;
  expect(merges).toEqual(["a b"]);
});

test("counts overlapping pairs as they are merged, left to right", () => {
  const { merges } = trainByteLevelBpe(["aaaaa"], { vocabSize: 300, specialTokens: [] }).model;
  expect(merges).toEqual(["a a", "aa a", "aa aaa"]);
});

test("stops early when no pair is left", () => {
  const { vocab } = trainByteLevelBpe(["ab"], { vocabSize: 4096, specialTokens: [] }).model;
  expect(Object.keys(vocab)).toHaveLength(257);
});

test("refuses a vocabulary smaller than the bytes", () => {
  expect(() => trainByteLevelBpe([], { vocabSize: 256, specialTokens: ["<s>"] })).toThrow(
    /no room/,
  );
});

/** Byte-pair training as the paper states it: count everything anew before each merge. */
function naiveMerges(words: string[][], n: number): string[] {
  const merges: string[] = [];
  while (merges.length < n) {
    const counts = new Map<string, number>();
    for (const word of words) {
      for (let i = 1; i < word.length; i++) {
        const pair = `${word[i - 1]} ${word[i]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const best = Math.max(0, ...counts.values());
    const top = [...counts].filter(([, count]) => count === best).map(([pair]) => pair);
    if (best === 0 || top.length > 1) break; // a tie: the naive way has no ids to break it with
    merges.push(top[0]!);
    words.forEach((word, at) => {
      words[at] = mergedOnce(word, top[0]!);
    });
  }
  return merges;
}

function mergedOnce(word: string[], pair: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < word.length; i++) {
    if (`${word[i]} ${word[i + 1]}` === pair) out.push(word[i++]! + word[i]!);
    else out.push(word[i]!);
  }
  return out;
}

test("agrees with counting everything anew before each merge, up to the first tie", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 9 });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 30 }), (words) => {
      const expected = naiveMerges(
        words.map((each) => each.split("")),
        40,
      );
      const { merges } = trainByteLevelBpe(words, { vocabSize: 400, specialTokens: [] }).model;
      expect(merges.slice(0, expected.length)).toEqual(expected);
    }),
  );
});

test("gives a token of its own to each digit of any script", () => {
  const tokenizer = new Tokenizer({
    path: "",
    tokenizer: trainByteLevelBpe(["2024 2024 ٣٣٣ ٣٣٣"], { vocabSize: 300, specialTokens: [] }),
    config: {},
  });
  const pieces = tokenizer
    .encode("2024 ٣٣")
    .map((id) => Buffer.from(tokenizer.bytesOf(id)).toString());
  expect(pieces).toEqual(["2", "0", "2", "4", " ", "٣", "٣"]);
});
