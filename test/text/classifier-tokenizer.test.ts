/** Pairs of texts, held to the ids that the Rust library gives (scripts/fixtures/onnx_classifiers.py). */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadPairTokenizer } from "../../src/text/classifier-tokenizer.ts";

interface PairCase {
  readonly question: string;
  readonly answer: string;
  readonly ids: readonly number[];
  readonly types: readonly number[] | null;
}

const fixtures = join(import.meta.dirname, "..", "fixtures", "classifiers");
const { cases }: { cases: Record<string, PairCase[]> } = JSON.parse(
  await readFile(join(fixtures, "expected.json"), "utf8"),
);
const kinds = Object.keys(cases);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plumbline-test-"));
});
afterAll(() => rm(folder, { recursive: true }));

const load = (kind: string) => loadPairTokenizer(join(fixtures, kind));

/** The fixture's `tokenizer.json` with some of its keys changed. */
async function loadChanged(kind: string, changes: Readonly<Record<string, unknown>>) {
  const target = join(folder, kind);
  await cp(join(fixtures, kind), target, { recursive: true });
  const path = join(target, "tokenizer.json");
  const file = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...file, ...changes }));
  return loadPairTokenizer(target);
}

describe.each(kinds)("%s", (kind) => {
  test("gives a pair the ids and token types of the Rust library", async () => {
    const tokenizer = await load(kind);
    const [first, second] = tokenizer.template.types;
    for (const { question, answer, ids, types } of cases[kind]!) {
      const pair = tokenizer.encodePair(question, answer);
      expect([...pair.question, ...pair.answer]).toEqual(ids);
      const given = [...pair.question.map(() => first), ...pair.answer.map(() => second)];
      expect(given).toEqual(types ?? ids.map(() => 0));
    }
  });

  test("puts its own control tokens around texts and reads none in them", async () => {
    const tokenizer = await load(kind);
    const { before, between, after } = tokenizer.template;
    const control = new Set([...before, ...between, ...after]);
    const piece = fc.oneof(
      fc.constantFrom("[SEP]", "[CLS]", "</s>", "<s>", "[", "SEP]", "</", "s>", " ", "the"),
      fc.string({ unit: "binary", maxLength: 4 }), // lone surrogates among them
    );
    const text = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(text, text, (asked, answered) => {
        const { question, answer } = tokenizer.encodePair(asked, answered);
        const seen = [...question, ...answer].filter((id) => control.has(id));
        expect(seen).toEqual([...before, ...between, ...after]);
      }),
      { numRuns: 200, seed: 3 },
    );
  });
});

test.each([
  ["deberta", { post_processor: null }, /post-processor null/],
  [
    "deberta",
    { post_processor: { type: "TemplateProcessing" } },
    /post-processor .* not supported/,
  ],
  ["bert", { normalizer: { type: "Nmt" } }, /normalizer .*Nmt.* not supported/],
  ["bert", { pre_tokenizer: { type: "FixedLength" } }, /pre-tokenizer .*FixedLength/],
  ["bert", { model: { type: "WordLevel", vocab: {} } }, /model/],
  [
    "deberta",
    { normalizer: { type: "Precompiled", precompiled_charsmap: "AAAA" } },
    /character map .* damaged/,
  ],
  [
    "deberta",
    { normalizer: { type: "Replace", pattern: { Regex: "(?i" }, content: "" } },
    /pattern '\(\?i'/,
  ],
  [
    "bert",
    {
      added_tokens: [{ id: 4, content: "[MASK]", single_word: true, special: true }],
    },
    /single_word/,
  ],
])("refuses %s with %o by name", async (kind, changes, message) => {
  await expect(loadChanged(kind, changes)).rejects.toMatchObject({
    code: "checkpoint_invalid",
    message: expect.stringMatching(message),
  });
});

test("an ordinary added token is found in a text, a special one is not", async () => {
  const file = JSON.parse(await readFile(join(fixtures, "bert", "tokenizer.json"), "utf8"));
  const added = [...file.added_tokens, { id: 999, content: "<step>", special: false }];
  const tokenizer = await loadChanged("bert", { added_tokens: added });
  const { question } = tokenizer.encodePair("the<step>the[SEP]", "");
  expect(question.filter((id) => id === 999)).toHaveLength(1);
  expect(question.filter((id) => id === 3)).toHaveLength(1);
});
