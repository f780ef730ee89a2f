import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { trainByteLevelBpe } from "../../src/text/bpe-trainer.ts";
import { byteLevelStep } from "../../src/text/pre-tokenizer.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import { writeTokenizerFiles } from "../../src/text/tokenizer-files.ts";
import { byteLevelTokenizer, chatTokens, rust, sentencePieceTokenizer } from "./support.ts";

const tokenizer = byteLevelTokenizer();
const [, imStart, imEnd] = [0, 1, 2];

describe("a byte-level vocabulary", () => {
  test.each(rust.trained.samples)("encodes $text as the Rust library does", ({ text, ids }) => {
    expect(tokenizer.encode(text, { special: "parse" })).toEqual(ids);
  });

  test("gives back any text", () => {
    const piece = fc.oneof(fc.constantFrom("the ", "\n", "7"), fc.string({ unit: "grapheme" }));
    const text = fc.array(piece).map((pieces) => pieces.join(""));
    fc.assert(fc.property(text, (each) => tokenizer.decode(tokenizer.encode(each)) === each));
  });

  test("knows the bytes of every token, whole characters or not", () => {
    const ids = tokenizer.encode("größer 👩");
    const bytes = Buffer.concat(ids.map((id) => tokenizer.bytesOf(id)));
    expect(bytes).toEqual(Buffer.from("größer 👩"));
    expect(tokenizer.bytesOf(imEnd)).toEqual(Buffer.from("<|im_end|>"));
    expect(tokenizer.bytesOf(99_999)).toHaveLength(0);
  });

  test("decodes an incomplete character as U+FFFD and leaves special tokens out", () => {
    const ids = tokenizer.encode("a😀");
    expect(tokenizer.decode([imStart, ...ids.slice(0, -1), imEnd])).toBe("a\u{FFFD}");
    expect(tokenizer.decode([])).toBe("");
  });

  test("says what its special tokens are", () => {
    expect(tokenizer.vocabSize).toBe(380);
    expect(tokenizer.endIds).toEqual([imEnd]);
    expect([...tokenizer.specialIds]).toEqual([0, 1, 2]);
    expect(tokenizer.idOf("Ġthe")).toBe(261);
    expect(tokenizer.idOf("no such token")).toBeNull();
  });
});

describe("text that spells a special token", () => {
  test("is ordinary text by default, and comes back", () => {
    const ids = tokenizer.encode("hi<|im_end|>\n<|im_start|>system");
    expect(ids.filter((id) => tokenizer.specialIds.has(id))).toEqual([]);
    expect(tokenizer.decode(ids)).toBe("hi<|im_end|>\n<|im_start|>system");
  });

  test("is encoded as a vocabulary without special tokens encodes it", () => {
    const { corpus, vocabSize } = rust.trained;
    const bare = new Tokenizer({
      path: "",
      tokenizer: trainByteLevelBpe(corpus, { vocabSize: vocabSize - 3, specialTokens: [] }),
      config: {},
    });
    const text = "so <|im_end|> the line<|im_start|>";
    expect(tokenizer.encode(text)).toEqual(bare.encode(text).map((id) => id + 3));
  });

  test("never becomes one, whatever surrounds it", () => {
    const pieces = fc.array(
      fc.oneof(fc.constantFrom(...chatTokens, "<|", "im_end", "|>", " ", "\n"), fc.string()),
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        const ids = tokenizer.encode(parts.join(""));
        expect(ids.some((id) => tokenizer.specialIds.has(id))).toBe(false);
      }),
    );
  });

  test("does not become one even where merges would spell it", () => {
    const json = trainByteLevelBpe([], { vocabSize: 256, specialTokens: [] });
    const vocab = { ...json.model.vocab, "<s>": 300, "<s": 301 };
    const model = { ...json.model, vocab, merges: [...json.model.merges, "< s", "<s >"] };
    const added = [{ id: 300, content: "<s>", special: true }];
    const made = new Tokenizer({
      path: "",
      tokenizer: { ...json, model, pre_tokenizer: byteLevelStep(), added_tokens: added },
      config: {},
    });
    expect(made.encode("<s>", { special: "parse" })).toEqual([300]);
    expect(made.encode("<s>")).not.toContain(300);
    expect(made.decode(made.encode("<s>"))).toBe("<s>");
  });

  test("stays text where a mark was put into it, and the mark leaves no trace", () => {
    const marked = "the <|<M>im_end|> line<|im_end|>";
    expect(tokenizer.encode(marked, { special: "parse", mark: "<M>" })).toEqual([
      ...tokenizer.encode("the <|im_end|> line"),
      imEnd,
    ]);
  });
});

describe("a SentencePiece vocabulary", () => {
  const legacy = sentencePieceTokenizer();
  const first = sentencePieceTokenizer(rust.sentencePieceFirst.overrides);
  const samples = [
    ...rust.sentencePiece.samples.map((sample) => ({ made: legacy, kind: "Prepend", ...sample })),
    ...rust.sentencePieceFirst.samples.map((sample) => ({ made: first, kind: "first", ...sample })),
  ];

  test.each(samples)("($kind) encodes and decodes $text as the Rust library does", (sample) => {
    const { made, text, ids, withSpecial, decoded } = sample;
    expect(made.encode(text, { special: "parse" })).toEqual(ids);
    expect(made.encode(text, { special: "parse", addSpecial: true })).toEqual(withSpecial);
    expect(made.decode(ids)).toBe(decoded);
  });

  test("keeps '</s>' of a text as text", () => {
    expect(legacy.decode(legacy.encode("the line</s> the"))).toBe("the line</s> the");
  });

  test("knows ▁ as a space and <0x0A> as a byte", () => {
    expect(legacy.bytesOf(284)).toEqual(Buffer.from(" the"));
    expect(legacy.bytesOf(13)).toEqual(Uint8Array.of(10));
    expect(legacy.leadingSpaces).toBe(1);
  });
});

describe("files", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
    const { trained } = rust;
    await writeTokenizerFiles(folder, {
      tokenizer: trainByteLevelBpe(trained.corpus, trained),
      config: { eos_token: "<|im_end|>", chat_template: "x" },
    });
  });
  afterEach(() => rm(folder, { recursive: true }));

  test("that were written are read back as the same tokenizer", async () => {
    const loaded = await Tokenizer.load(folder);
    expect(loaded.encode("the plumb line")).toEqual([354, 313, 292, 322]);
    expect(loaded.endIds).toEqual([imEnd]);
  });

  test.each(["tokenizer.json", "tokenizer_config.json"])("names a missing %s", async (name) => {
    await rm(join(folder, name));
    await expect(Tokenizer.load(folder)).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringMatching(`${join(folder, name)}: the file is missing. Copy it`),
    });
  });

  test("names a file that is not JSON", async () => {
    await writeFile(join(folder, "tokenizer.json"), '{"model": ');
    await expect(Tokenizer.load(folder)).rejects.toThrow(/tokenizer\.json: not JSON/);
  });

  test.each([
    ["another model", { model: { type: "Unigram" } }, "'Unigram'"],
    ["another decoder", { decoder: { type: "WordPiece" } }, "WordPiece"],
    [
      "a step that cuts differently",
      { pre_tokenizer: { type: "CharDelimiterSplit" } },
      "CharDelimiterSplit",
    ],
    [
      "a split that the library would misread",
      { pre_tokenizer: { type: "Split", pattern: { String: " " }, behavior: "MergedWithNext" } },
      "MergedWithNext",
    ],
    [
      "a whole-word token",
      { added_tokens: [{ id: 0, content: "<x>", single_word: true }] },
      "single_word",
    ],
  ])("refuses %s by name", async (_, change, named) => {
    const json = trainByteLevelBpe([], { vocabSize: 256, specialTokens: [] });
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify({ ...json, ...change }));
    await writeFile(join(folder, "tokenizer_config.json"), "{}");
    await expect(Tokenizer.load(folder)).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringContaining(named),
    });
  });

  test("refuses an end token that the vocabulary lacks", async () => {
    await writeFile(join(folder, "tokenizer_config.json"), '{"eos_token":"<|eot|>"}');
    await expect(Tokenizer.load(folder)).rejects.toThrow(/eos_token '<\|eot\|>'/);
  });
});
