/** What a classifier is fed, seen through graphs whose logits are sums of their inputs. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { ClassifierEngine } from "../../src/engine/classifier-engine.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import type { DType } from "../../src/onnx/dtype.ts";
import { encode } from "../../src/onnx/encode.ts";
import { Graph, type Value } from "../../src/onnx/graph.ts";
import { temporaryFolder, testRuntime } from "../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();

const never = new AbortController().signal;
const PAD = 7;
const shape = ["batch", "tokens"];

async function load(build: (g: Graph) => void, labels = 4) {
  const g = new Graph();
  build(g);
  const file = join(folder, "model.onnx");
  await writeFile(file, encode(g));
  const names = Array.from({ length: labels }, (_, i) => `LABEL_${i}`);
  return ClassifierEngine.load(
    runtime,
    { file, labels: names, contextTokens: 10_000, padId: PAD, revision: "sums" },
    { provider: "cpu", threads: 1, turnstile: new Turnstile(systemClock), types: [0, 1] },
  );
}

/** [batch, 4]: how many ids, of them the mask's, types and positions under the mask, each summed. */
function sums(g: Graph, to: DType = "float32"): void {
  const real = (name: string) => g.cast(g.input(name, "int64", shape), "float32");
  const [ids, mask, types, positions] = [
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "position_ids",
  ].map(real) as [Value, Value, Value, Value];
  const columns = [ids, g.mul(ids, mask), types, g.mul(positions, mask)];
  const logits = g.concat(
    columns.map((x) => g.sum(x, [1], true)),
    1,
  );
  g.output("logits", g.cast(logits, to));
}

const scoresOf = async (engine: ClassifierEngine, prompt: number[], completion: number[]) => {
  const [scores] = await engine.open(prompt, never).scores(completion, [completion.length - 1]);
  return [...scores!];
};

test.each(["float32", "float16"] as const)(
  "feeds ids, mask, types and positions; logits in %s",
  async (to) => {
    const engine = await load((g) => sums(g, to));
    expect(await scoresOf(engine, [1, 2], [3, 4, 5])).toEqual([15, 15, 3, 10]);
    await engine.dispose();
  },
);

test("pads what shares a run on the right, under no mask, and gives each its own", async () => {
  const engine = await load(sums);
  const [alone, short, long] = await Promise.all([
    scoresOf(engine, [1], [1]), // runs at once, while the others gather
    scoresOf(engine, [1, 2], [3]),
    scoresOf(engine, [1, 2], [3, 4, 5]),
  ]);
  expect(alone).toEqual([2, 2, 1, 1]);
  expect(short).toEqual([6 + 2 * PAD, 6, 1, 3]);
  expect(long).toEqual([15, 15, 3, 10]);
  await engine.dispose();
});

test("a crowd that no run could take at once is served in several", async () => {
  const engine = await load(sums);
  const ones = (n: number) => Array.from({ length: n }, () => 1);
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => scoresOf(engine, [1], ones(900 + i))),
  );
  expect(answers.map(([, masked]) => masked)).toEqual(answers.map((_, i) => 901 + i));
  await engine.dispose();
});

test("a sequence that grows is scored as its tokens are", async () => {
  const engine = await load(sums);
  const grown = await engine.open([1, 2], never).grow();
  expect((await grown.branch([3, 4])).map(([, masked]) => masked)).toEqual([6, 7]);
  grown.accept(1);
  expect(grown.ids).toEqual([1, 2, 4]);
  expect([...(await grown.branch([5]))[0]!]).toEqual(await scoresOf(engine, [1, 2], [4, 5]));
  expect(() => grown.accept(1)).toThrow(/no alternative 1 of 1/);
  grown.close();
  await engine.dispose();
});

test("scores at the end only", async () => {
  const engine = await load(sums);
  const session = engine.open([1], never);
  await expect(session.scores([1, 2], [0])).rejects.toThrow(/at the end only/);
  expect(await session.scores([1, 2], [])).toEqual([]);
  await engine.dispose();
});

const ids = (g: Graph) => g.cast(g.input("input_ids", "int64", shape), "float32");
test.each<[string, (g: Graph) => void, RegExp]>([
  [
    "an input that nothing feeds",
    (g) => g.output("logits", g.sum(g.add(ids(g), g.input("pixels", "float32", shape)), [1], true)),
    /takes pixels \(float32\); known are input_ids/,
  ],
  [
    "an input of another type",
    (g) =>
      g.output("logits", g.sum(g.cast(g.input("input_ids", "int32", shape), "float32"), [1], true)),
    /takes input_ids \(int32\)/,
  ],
  ["a score for each token", (g) => g.output("logits", ids(g)), /gives \[.*\]|4 labels/],
  [
    "integers",
    (g) => g.output("logits", g.sum(g.input("input_ids", "int64", shape), [1], true)),
    /int64/,
  ],
  [
    "two outputs, neither of them logits",
    (g) => {
      const x = ids(g);
      g.output("a", g.sum(x, [1], true));
      g.output("b", g.sum(x, [1], true));
    },
    /gives a, b and no logits/,
  ],
])("refuses a model with %s by name", async (_, build, message) => {
  const scored = load(build).then((engine) => scoresOf(engine, [1], [2]));
  await expect(scored).rejects.toThrow(message);
});
