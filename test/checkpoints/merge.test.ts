/** Adapters merged into their models: PEFT's numbers, the base's format, nothing half written. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readAdapter } from "../../src/checkpoints/adapter.ts";
import { Checkpoint, writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import { toFloat16 } from "../../src/checkpoints/float16.ts";
import { mergeAdapter } from "../../src/checkpoints/merge.ts";
import { writeModelFolder } from "../../src/checkpoints/model-folder.ts";
import {
  readSafetensors,
  type StoredTensor,
  toFloat32,
  writeSafetensors,
} from "../../src/checkpoints/safetensors.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { Head } from "../../src/onnx/transformer.ts";
import { modelOf, type Published } from "../support/configs.ts";
import { formulaWeights } from "../support/formula-weights.ts";
import { runPacked } from "../support/transformers.ts";

const [policyAdapter, rewardAdapter] = ["peft", "peft-reward"].map((name) =>
  join(import.meta.dirname, "../fixtures", name),
) as [string, string];

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());
let folder = "";
let base = "";
let out = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "merge-"));
  [base, out] = [join(folder, "base"), join(folder, "out")];
});
afterEach(() => rm(folder, { recursive: true }));

const json = async (path: string): Promise<Published> => JSON.parse(await readFile(path, "utf8"));

/** What the scripts of the fixtures had as base, here with a tokenizer. */
async function writeBase(published: Published, dtype: "F32" | "F16"): Promise<ModelConfig> {
  const config = modelOf(published);
  const weights = [...weightShapes(config)].map(([name, shape]) => {
    const data = formulaWeights(
      name,
      shape.reduce((product, size) => product * size, 1),
    );
    return [name, { shape, data }] as const;
  });
  await writeCheckpoint(base, config, new Map(weights), { dtype });
  await writeFile(join(base, "generation_config.json"), '{ "temperature": 0.6, "top_k": 20 }');
  for (const name of ["tokenizer.json", "chat_template.jinja"])
    await writeFile(join(base, name), `of ${name}`);
  await writeFile(join(base, "README.md"), "of the base");
  return config;
}

async function resultsOf(checkpoint: Checkpoint, head: Head, ids: readonly number[]) {
  const values = (name: string) => checkpoint.weight(name).data;
  const model = { config: checkpoint.config, head, values };
  const [rows] = await runPacked(runtime, model, [ids], ids.length);
  return rows!;
}

describe("a merged policy", () => {
  test("has the logits of PEFT's model with the adapter", async () => {
    const { config, ids, logits } = (await json(join(policyAdapter, "logits.json"))) as {
      config: Published;
      ids: number[];
      logits: number[][];
    }; // our own file
    await writeBase(config, "F32");
    await mergeAdapter(base, policyAdapter, out);
    const rows = await resultsOf(await Checkpoint.open(out), "logits", ids);
    const differences = rows.flatMap((row, t) => row.map((x, i) => Math.abs(x - logits[t]![i]!)));
    expect(Math.max(...differences)).toBeLessThan(1e-4);
  });

  test("keeps the base's format, files and other weights, and rounds each sum once", async () => {
    const { config } = await json(join(policyAdapter, "logits.json"));
    const model = await writeBase(config as Published, "F16");
    await mergeAdapter(base, policyAdapter, out);
    expect((await readdir(out)).sort()).toEqual(
      [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
      ].sort(),
    );
    for (const name of ["config.json", "generation_config.json"])
      expect(await json(join(out, name))).toEqual(await json(join(base, name)));
    const [before, after] = [await Checkpoint.open(base), await Checkpoint.open(out)];
    const { matrices } = await readAdapter(policyAdapter, model);
    for (const name of before.names) {
      expect(after.stored(name).dtype).toBe("F16");
      const matrix = matrices.get(name.replace(/\.weight$/, ""));
      if (!matrix) {
        expect(after.stored(name).data, name).toEqual(before.stored(name).data);
        continue;
      }
      const { rank, inputs, scale, a, b } = matrix;
      const sums = Float64Array.from(before.weight(name).data, (value, at) => {
        const [row, column] = [Math.floor(at / inputs), at % inputs];
        for (let k = 0; k < rank; k++)
          value += scale * b[row * rank + k]! * a[k * inputs + column]!;
        return value;
      });
      const halves = toFloat16(Float32Array.from(sums));
      const found = new Uint16Array(after.stored(name).data.slice().buffer);
      // By way of float32 and double, a sum between two halves may fall to either: rarely, and by one.
      const apart = halves.filter((half, i) => half !== found[i]);
      expect(apart.length, name).toBeLessThan(halves.length / 500);
    }
  });
});

test("an adapter of a sequence classifier makes a reward model of a policy, with PEFT's score", async () => {
  const { config, ids, score } = (await json(join(rewardAdapter, "score.json"))) as {
    config: Published;
    ids: number[];
    score: number;
  }; // our own file
  await writeBase(config, "F32");
  await mergeAdapter(base, rewardAdapter, out);
  const reward = await Checkpoint.open(out);
  expect(reward.config).toMatchObject({ task: "sequence-scores", labels: 1 });
  expect(await json(join(out, "config.json"))).toMatchObject({
    architectures: ["LlamaForSequenceClassification"],
    id2label: { 0: "LABEL_0" },
  });
  const rows = await resultsOf(reward, "scores", ids);
  expect(rows.at(-1)![0]).toBeCloseTo(score, 4);
});

describe("nothing is written", () => {
  const published = async () => (await json(join(policyAdapter, "logits.json")))["config"];

  test("when the adapter is another model's", async () => {
    await writeBase({ ...((await published()) as Published), num_hidden_layers: 1 }, "F32");
    await expect(mergeAdapter(base, policyAdapter, out)).rejects.toThrow(
      /which the model does not have/,
    );
    expect(await readdir(folder)).toEqual(["base"]);
  });

  test("over another folder's files", async () => {
    await writeBase((await published()) as Published, "F32");
    await mkdir(out);
    await writeFile(join(out, "notes.txt"), "kept");
    await expect(mergeAdapter(base, policyAdapter, out)).rejects.toThrow(/holds files/);
    expect(await readdir(out)).toEqual(["notes.txt"]);
  });

  test("when a sum is beyond what the base's format holds", async () => {
    await writeBase((await published()) as Published, "F16");
    const adapter = join(folder, "adapter");
    await cp(policyAdapter, adapter, { recursive: true });
    const path = join(adapter, "adapter_model.safetensors");
    const grown = [...(await readSafetensors(path))].map(([name, tensor]) => {
      const values = toFloat32(tensor).map((x) => 1e3 * x);
      const data = new Uint8Array(values.buffer);
      return [name, { ...tensor, data }] as [string, StoredTensor];
    });
    await writeSafetensors(path, new Map(grown));
    await expect(mergeAdapter(base, adapter, out)).rejects.toThrow(
      /_proj\.weight holds -?\d+\S* at index \d+, which F16 cannot hold/,
    );
    expect((await readdir(folder)).sort()).toEqual(["adapter", "base"]);
  });
});

test("a model is written in another number format where one is asked for", async () => {
  const { config } = await json(join(policyAdapter, "logits.json"));
  await writeBase(config as Published, "F32");
  const before = await Checkpoint.open(base);
  await writeModelFolder(out, { base: before, weight: () => null, dtype: "F16" });
  const after = await Checkpoint.open(out);
  expect(await json(join(out, "config.json"))).toMatchObject({ torch_dtype: "float16" });
  for (const name of before.names)
    expect(new Uint16Array(after.stored(name).data.slice().buffer), name).toEqual(
      toFloat16(before.weight(name).data),
    );
});

test("a model in several files is the same model", async () => {
  const { config } = await json(join(policyAdapter, "logits.json"));
  await writeBase(config as Published, "F16");
  const before = await Checkpoint.open(base);
  const weight = () => null;
  await writeModelFolder(out, { base: before, weight, card: "# A card", fileBytesMax: 20_000 });
  const names = (await readdir(out)).filter((name) => name.startsWith("model"));
  expect(names.length).toBeGreaterThan(3);
  const after = await Checkpoint.open(out);
  for (const name of before.names) expect(after.stored(name)).toEqual(before.stored(name));
  const { metadata, weight_map: places } = await json(join(out, "model.safetensors.index.json"));
  const bytes = before.names.reduce((sum, name) => sum + before.stored(name).data.byteLength, 0);
  expect(metadata).toEqual({ total_size: bytes });
  expect(new Set(Object.values(places as Published))).toEqual(
    new Set(names.filter((name) => name.endsWith(".safetensors"))),
  );
  expect(names).toContain(`model-00001-of-${`${names.length - 1}`.padStart(5, "0")}.safetensors`);
  expect(await readFile(join(out, "README.md"), "utf8")).toBe("# A card");
});
