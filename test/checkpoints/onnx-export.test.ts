/** Checkpoints written for transformers.js: what the folder holds, its numbers, also of a batch padded on the left. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import { exportOnnx } from "../../src/checkpoints/onnx-export.ts";
import { openOnnxFolder } from "../../src/checkpoints/onnx-folder.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { ImportedModel } from "../../src/engine/imported/imported-model.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import { asReward, modelOf, type Published, tinyLlama } from "../support/configs.ts";
import { formulaWeights } from "../support/formula-weights.ts";
import { temporaryFolder, testRuntime } from "../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();

let folders = 0;
const newFolder = () => join(folder, `${++folders}`);

async function checkpointOf(config: ModelConfig): Promise<string> {
  const path = newFolder();
  const weights = [...weightShapes(config)].map(([name, shape]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [name, { shape, data: formulaWeights(name, count) }] as const;
  });
  await writeCheckpoint(path, config, new Map(weights), { dtype: "F32" });
  await writeFile(join(path, "tokenizer.json"), "{}");
  await writeFile(join(path, "chat_template.jinja"), "{{ messages }}");
  return path;
}

async function exported(config: ModelConfig, limits = {}): Promise<string> {
  const out = newFolder();
  await exportOnnx(await checkpointOf(config), out, limits);
  return out;
}

const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]!)));

/** Made by scripts/fixtures/transformers_logits.py. */
const { models }: { models: FixtureModel[] } = JSON.parse(
  await readFile(join(import.meta.dirname, "../fixtures/transformers-logits.json"), "utf8"),
);
interface FixtureModel {
  readonly name: string;
  readonly config: Published;
  readonly sequences: readonly { readonly ids: number[]; readonly logits: number[] }[];
}

describe.each(models)("transformers' logits: $name", ({ config, sequences }) => {
  test("served back as a foreign decoder: prompts, then token by token", async () => {
    const out = await exported(modelOf(config));
    const found = (await openOnnxFolder(out))!;
    const { vocabSize, contextTokens, layers } = found.config;
    const model = await ImportedModel.load(
      runtime,
      { path: found.path, revision: "r", vocabSize, contextTokens, layers },
      { provider: "cpu", threads: 1, turnstile: new Turnstile(systemClock) },
    );
    const runner = model.createPromptRunner();
    for (const { ids, logits } of sequences) {
      const expected = (t: number) => logits.slice(t * vocabSize, (t + 1) * vocabSize);
      const prompt = Math.min(10, ids.length - 1);
      const rows = await runner.logits(ids.slice(0, prompt), 0, [...Array(prompt).keys()]);
      for (let t = prompt; t < ids.length; t++) {
        rows.push(...(await runner.logits([ids[t]!], t, [0])));
      }
      for (const [t, row] of rows.entries()) {
        expect(largest(row.logits, expected(t))).toBeLessThan(1e-4);
      }
    }
    runner.dispose();
    await model.dispose();
  });
});

test("a batch padded on the left, as transformers.js feeds it, gets each row's own logits", async () => {
  const [{ config, sequences }] = models as [FixtureModel];
  const out = await exported(modelOf(config));
  const session = await runtime.session(join(out, "onnx/model.onnx"), { threads: 1 });
  const { heads: _, kvHeads, headDim, layers, vocabSize } = modelOf(config);
  const [long, short] = [sequences[0]!, sequences[1]!];
  const tokens = short.ids.length; // of each row the last but one first, then its last
  const width = long.ids.length - 1;
  const padded = (ids: readonly number[]) => [...Array(width - ids.length).fill(0), ...ids];
  const ids = [long.ids.slice(0, -1), padded(short.ids.slice(0, -1))];
  const mask = [Array(width).fill(1), padded(Array(tokens - 1).fill(1))];
  const whole = (shape: number[], values: readonly number[]) =>
    runtime.tensor("int64", shape, BigInt64Array.from(values, BigInt));
  const pasts = Array.from({ length: layers }, (_, layer) => [
    `${layer}.key`,
    `${layer}.value`,
  ]).flat();
  const first = await session.evaluate({
    input_ids: whole([2, width], ids.flat()),
    attention_mask: whole([2, width], mask.flat()),
    num_logits_to_keep: whole([], [1]),
    ...Object.fromEntries(
      pasts.map((name) => [
        `past_key_values.${name}`,
        runtime.tensor("float32", [2, kvHeads, 0, headDim]),
      ]),
    ),
  });
  expect(first["logits"]!.shape).toEqual([2, 1, vocabSize]);
  const second = await session.evaluate({
    input_ids: whole([2, 1], [long.ids.at(-1)!, short.ids.at(-1)!]),
    attention_mask: whole(
      [2, width + 1],
      mask.flatMap((row) => [...row, 1]),
    ),
    num_logits_to_keep: whole([], [0]),
    ...Object.fromEntries(
      pasts.map((name) => {
        const { shape, data } = first[`present.${name}`]!;
        return [`past_key_values.${name}`, runtime.tensor("float32", shape, data as Float32Array)];
      }),
    ),
  });
  session.dispose();
  const row = ({ logits }: typeof long, t: number) =>
    logits.slice(t * vocabSize, (t + 1) * vocabSize);
  const pairs = [long, short].flatMap((each, i) => [
    { found: first, expected: row(each, each.ids.length - 2), i },
    { found: second, expected: row(each, each.ids.length - 1), i },
  ]);
  for (const { found, expected, i } of pairs) {
    const data = found["logits"]!.data as Float32Array;
    expect(largest(data.subarray(i * vocabSize, (i + 1) * vocabSize), expected)).toBeLessThan(1e-4);
  }
});

describe("the folder", () => {
  test("has the layout that transformers.js reads, in float32", async () => {
    const config = tinyLlama({}, { eos_token_id: 2 });
    const out = await exported(config);
    expect((await readdir(out, { recursive: true })).sort()).toEqual([
      "chat_template.jinja",
      "config.json",
      "generation_config.json",
      "onnx",
      "onnx/model.onnx",
      "tokenizer.json",
    ]);
    const written = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
    expect(written).toEqual({ ...config.files.config, torch_dtype: "float32" });
  });

  test("holds large weights beside the model, in files that transformers.js counts", async () => {
    const limits = { inlineBytesMax: 1000, fileBytesMax: 20_000 };
    const config = tinyLlama();
    const out = await exported(config, limits);
    const files = (await readdir(join(out, "onnx"))).sort();
    const written = JSON.parse(await readFile(join(out, "config.json"), "utf8"));
    expect(written["transformers.js_config"]).toEqual({
      use_external_data_format: files.length - 1,
    });
    expect(files.slice(0, 3)).toEqual(["model.onnx", "model.onnx_data", "model.onnx_data_1"]);
    const logits = await Promise.all(
      [out, await exported(config)].map(async (each) => {
        const path = join(each, "onnx/model.onnx");
        const source = { path, revision: "r", vocabSize: 31, contextTokens: 16, layers: 2 };
        const turnstile = new Turnstile(systemClock);
        const model = await ImportedModel.load(runtime, source, { provider: "cpu", turnstile });
        const [row] = await model.createPromptRunner().logits([3, 1, 4], 0, [2]);
        await model.dispose();
        return row!.logits;
      }),
    );
    expect(logits[0]).toEqual(logits[1]);
  });

  test("is never mixed with what is there", async () => {
    const source = await checkpointOf(tinyLlama());
    const out = newFolder();
    await mkdir(out);
    await exportOnnx(source, out); // empty: filled
    const before = await readdir(out, { recursive: true });
    await expect(exportOnnx(source, out)).rejects.toMatchObject({
      code: "invalid_request",
      param: "--out",
    });
    expect(await readdir(out, { recursive: true })).toEqual(before);
  });

  test("is left away whole when it cannot be written", async () => {
    const source = await checkpointOf(tinyLlama());
    const file = newFolder();
    await writeFile(file, "");
    await expect(exportOnnx(source, join(file, "out"))).rejects.toMatchObject({
      code: "export_failed",
    });
    const broken = newFolder();
    await cp(source, broken, { recursive: true });
    await rm(join(broken, "tokenizer.json"));
    await mkdir(join(broken, "tokenizer.json")); // a copy fails after the model was written
    await expect(exportOnnx(broken, join(folder, "out"))).rejects.toMatchObject({
      code: "export_failed",
    });
    expect((await readdir(folder)).filter((name) => name.includes("out"))).toEqual([]);
  });

  test("is not made of a reward model, nor of heads that the operator cannot take", async () => {
    for (const [changes, code] of [
      [asReward, "architecture_unsupported"],
      [{ head_dim: 8 }, "checkpoint_invalid"],
    ] as const) {
      const source = await checkpointOf(tinyLlama(changes));
      await expect(exportOnnx(source, newFolder())).rejects.toMatchObject({ code });
    }
  });
});
