/** Decoders that others exported, behind the engine: their numbers, whoever keeps them company, and what is refused. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import { ImportedModel, type ImportedSource } from "../../src/engine/imported/imported-model.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import type { Completion, Sampling } from "../../src/engine/types.ts";
import type { GraphProto } from "../../src/onnx/generated/onnx_pb.ts";
import { edited, made, withHalfCache, withMixedRows } from "../support/onnx-edit.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { temporaryFolder, testRuntime } from "../support/workspace.ts";

const FIXTURE = join(import.meta.dirname, "../fixtures/onnx-decoder");
const { signal } = new AbortController();
const sequences = await readSequences();
const VOCABULARY = 31;

const folder = temporaryFolder();
const runtime = testRuntime();
const published: Uint8Array = await readFile(join(FIXTURE, "onnx/model.onnx"));

/** Made with transformers by scripts/fixtures/onnx_decoder.py: logits of the tokens in `at`. */
async function readSequences() {
  const text = await readFile(join(FIXTURE, "logits.json"), "utf8");
  const read: { sequences: { ids: number[]; at: number[]; logits: number[][] }[] } =
    JSON.parse(text);
  return read.sequences;
}

let files = 0;
async function load(
  edit: (graph: GraphProto) => void = () => undefined,
  more: Partial<ImportedSource> = {},
): Promise<ImportedModel> {
  files += 1;
  const path = join(folder, `${files}.onnx`);
  await writeFile(path, edited(published, edit));
  const source = { path, revision: "r", vocabSize: VOCABULARY, contextTokens: 256, layers: 2 };
  const options = { provider: "cpu", threads: 1, turnstile: new Turnstile(systemClock) } as const;
  return ImportedModel.load(runtime, { ...source, ...more }, options);
}

async function withEngine<T>(
  model: ImportedModel,
  act: (engine: Engine) => Promise<T>,
  options: Partial<EngineOptions> = {},
): Promise<T> {
  const engine = new Engine(model, { sequencesMax: 16, queueSequencesMax: 64, ...options });
  try {
    return await act(engine);
  } finally {
    await engine.dispose();
  }
}

const sampling = (overrides: Partial<Sampling> = {}): Sampling => ({
  ...plainSampling,
  maxTokens: 12,
  endTokens: new Set([2]),
  seed: 1,
  ...overrides,
});
const ids = ({ tokens }: Completion) => tokens.map(({ id }) => id);
const promptOf = (i: number, length = 2 + (i % 5)) =>
  Array.from({ length }, (_, t) => 3 + ((7 * i + 5 * t) % 28));
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

const variants: readonly [string, (graph: GraphProto) => void, number][] = [
  ["as optimum exports it", () => undefined, 1e-4],
  ["with caches and logits in half precision", withHalfCache, 2e-2],
];
describe.each(variants)("%s", (_name, edit, tolerance) => {
  test("the logits are transformers', whole and cut anywhere", async () => {
    const model = await load(edit);
    const runner = model.createPromptRunner();
    for (const { ids: tokens, at, logits } of sequences) {
      for (const cut of [0, 1, 2]) {
        const first = tokens.slice(0, cut);
        if (cut > 0) await runner.extend(first, 0);
        const rows = at.filter((row) => row >= cut);
        const found = await runner.logits(
          tokens.slice(cut),
          cut,
          rows.map((row) => row - cut),
        );
        for (const [i, row] of rows.entries()) {
          expect(largest(found[i]!.logits, logits[at.indexOf(row)]!)).toBeLessThan(tolerance);
        }
      }
    }
    runner.dispose();
    await model.dispose();
  });

  test("what a batch of ragged lengths draws has the log-probabilities that scoring gives", async () => {
    await withEngine(await load(edit), async (engine) => {
      const prompts = [1, 2, 3, 4, 5].map((i) => promptOf(i, i < 5 ? i : 70));
      const drawn = await Promise.all(
        prompts.map((prompt, seed) => engine.sample(prompt, 3, sampling({ seed }), { signal })),
      );
      for (const [i, completions] of drawn.entries()) {
        for (const completion of completions) {
          const scored = await engine.score(prompts[i]!, ids(completion), { signal });
          const logprobs = completion.tokens.map(({ logprob }) => logprob);
          expect(largest(logprobs, scored)).toBeLessThan(tolerance);
        }
      }
    });
  });
});

const companies: readonly [string, (graph: GraphProto) => void][] = [
  ["plain", () => undefined],
  ["half caches", withHalfCache],
  ["rows that are not independent", withMixedRows],
];
describe.each(companies)("bit for bit, %s", (_name, edit) => {
  test("a sequence alone is a sequence among others", async () => {
    await withEngine(await load(edit), async (engine) => {
      const one = () => engine.sample(promptOf(0, 5), 2, sampling({ seed: 99 }), { signal });
      const alone = await one();
      const crowd = Array.from({ length: 20 }, (_, i) =>
        engine.sample(promptOf(i), 1, sampling({ seed: i, maxTokens: 3 + (i % 10) }), { signal }),
      );
      const [among] = await Promise.all([one(), ...crowd]);
      expect(among).toEqual(alone);
      const many = await engine.sample(promptOf(0, 5), 9, sampling({ seed: 99 }), { signal });
      expect(many.slice(0, 2)).toEqual(alone);
    });
  });

  test("sequences whose tokens come from outside go on side by side as they do alone", async () => {
    await withEngine(await load(edit), async (engine) => {
      const open = () => engine.grow(promptOf(2, 70), 8, { signal });
      const { growing: one } = await open();
      const { logits, logSumExp } = await one.append(9);
      const alone = [{ logits: logits.slice(), logSumExp }, await one.append(4)];
      const [{ growing: two }, { growing: three }] = [await open(), await open()];
      const [first] = await Promise.all([two.append(9), three.append(30)]);
      expect(first).toEqual(alone[0]);
      const [next] = await Promise.all([
        two.append(4),
        three.append(11),
        engine.sample(promptOf(5), 1, sampling({ seed: 1 }), { signal }),
      ]);
      expect(next).toEqual(alone[1]);
      expect(two.ids).toEqual([...promptOf(2, 70), 9, 4]);
      for (const growing of [one, two, three]) growing.close();
      if (edit === withMixedRows) return; // what is scored is a block of rows
      const scored = await engine.score(promptOf(2, 70), [9, 4, 6], { signal });
      const digits = edit === withHalfCache ? 1 : 4;
      expect(next!.logits[6]! - next!.logSumExp).toBeCloseTo(scored[2]!, digits);
    });
  });

  test("a prompt whose beginning is known is a prompt computed anew", async () => {
    const prompt = promptOf(3, 150);
    const draw = (engine: Engine, tokens: readonly number[]) =>
      engine.sample(tokens, 1, sampling(), { signal });
    const fresh = await withEngine(await load(edit), (engine) => draw(engine, prompt));
    const known = await withEngine(
      await load(edit),
      async (engine) => {
        await draw(engine, prompt.slice(0, 70));
        const again = await draw(engine, prompt);
        expect(engine.stats.prefixes.found).toBe(64);
        return again;
      },
      { prefixBytesMax: 2 ** 20 },
    );
    expect(known).toEqual(fresh);
  });
});

test("candidates that gave way go on with the same tokens", async () => {
  const perToken = 2 * 2 * 2 * 8 * 4; // layers, keys and values, heads, numbers, bytes
  const cacheBytesMax = 3 * perToken * 64 * 7;
  let bytesMax = 0;
  const draw = (engine: Engine) =>
    engine.sample(promptOf(1, 60), 6, sampling({ maxTokens: 20, endTokens: new Set() }), {
      signal,
      onToken: () => {
        bytesMax = Math.max(bytesMax, engine.stats.cacheBytes);
        return false;
      },
    });
  const roomy = await withEngine(await load(), draw);
  expect(bytesMax).toBeGreaterThan(cacheBytesMax);
  bytesMax = 0;
  const cramped = await withEngine(
    await load(),
    async (engine) => {
      const completions = await draw(engine);
      expect(engine.stats.preemptions).toBeGreaterThan(0);
      expect(bytesMax).toBeLessThanOrEqual(cacheBytesMax);
      return completions;
    },
    { cacheBytesMax },
  );
  expect(cramped).toEqual(roomy);
});

describe("refused, with what is wrong", () => {
  const renamed = (from: string, to: string) => (graph: GraphProto) => {
    for (const info of [...graph.input, ...graph.output]) if (info.name === from) info.name = to;
    for (const each of graph.node) {
      each.input = each.input.map((name) => (name === from ? to : name));
      each.output = each.output.map((name) => (name === from ? to : name));
    }
  };
  const shapeOf = (graph: GraphProto, name: string) => {
    const { type } = graph.input.find((info) => info.name === name)!;
    return type?.value.case === "tensorType" ? type.value.value.shape!.dim : [];
  };
  const faults: readonly [string, RegExp, (graph: GraphProto) => void, Partial<ImportedSource>?][] =
    [
      [
        "an input that nothing can give",
        /inputs that nothing here can give: encoder_states\. Known are input_ids, attention_mask, position_ids/,
        renamed("attention_mask", "encoder_states"),
      ],
      ["a missing output", /lacks present\.1\.value/, renamed("present.1.value", "other")],
      ["no logits", /no output logits/, renamed("logits", "scores")],
      [
        "a cache of another shape",
        /past_key_values\.1\.key is float32 \[.*, 3, .*, 8\] instead of float32 \[batch, 2, tokens, 8\]/,
        (graph) => {
          shapeOf(graph, "past_key_values.1.key")[1]!.value = { case: "dimValue", value: 3n };
        },
      ],
      [
        "another vocabulary",
        /logits are of 31 tokens.*vocab_size 32/,
        () => undefined,
        { vocabSize: 32 },
      ],
      ["other layers", /2 layers, and config\.json says 3/, () => undefined, { layers: 3 }],
      [
        "logits of the last token alone, which cannot be scored",
        /logits/,
        (graph) => {
          renamed("logits", "all")(graph);
          const output = graph.output.find(({ name }) => name === "all")!;
          output.name = "logits";
          graph.node.push(
            made("ReduceMax", ["all", "axis"], ["logits"], [{ name: "keepdims", type: 2, i: 1n }]),
          );
          graph.node.unshift(
            made("Constant", [], ["axis"], [{ name: "value_ints", type: 7, ints: [1n] }]),
          );
        },
      ],
    ];
  test.each(faults)("%s", async (_name, message, edit, more) => {
    await expect(load(edit, more)).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringMatching(message),
    });
  });

  test("a damaged file", async () => {
    const path = join(folder, "damaged.onnx");
    await writeFile(path, published.subarray(0, 50_000));
    const source = { path, revision: "r", vocabSize: VOCABULARY, contextTokens: 256, layers: 2 };
    const options = { provider: "cpu", turnstile: new Turnstile(systemClock) } as const;
    await expect(ImportedModel.load(runtime, source, options)).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringContaining("damaged.onnx"),
    });
  });
});
