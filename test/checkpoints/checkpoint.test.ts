import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Checkpoint, type Weight, writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import { type ModelConfig, writeModelConfig } from "../../src/checkpoints/config.ts";
import { readSafetensors, writeSafetensors } from "../../src/checkpoints/safetensors.ts";
import { parameterCount, weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { asReward, modelOf, tinyLlama } from "../support/configs.ts";

const sizes = {
  vocab_size: 11,
  hidden_size: 8,
  intermediate_size: 12,
  head_dim: 2,
  tie_word_embeddings: true,
  torch_dtype: "float32",
};
const config = tinyLlama(sizes);
const reward = tinyLlama({ ...sizes, ...asReward });

function weightsOf(each: ModelConfig): Map<string, Weight> {
  let next = 0;
  return new Map(
    Array.from(weightShapes(each), ([name, shape]) => {
      const length = shape.reduce((a, b) => a * b, 1);
      return [name, { shape, data: Float32Array.from({ length }, () => next++ / 256) }];
    }),
  );
}

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "checkpoint-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("knows the tensors of TinyLlama-1.1B: 201 of them, 1,100,048,384 values", () => {
  const published = modelOf({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 32_000,
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 22,
    num_attention_heads: 32,
    num_key_value_heads: 4,
  });
  const shapes = weightShapes(published);
  expect(shapes.size).toBe(201);
  expect(parameterCount(published)).toBe(1_100_048_384);
  expect(shapes.get("model.layers.21.self_attn.k_proj.weight")).toEqual([256, 2048]);
  expect(shapes.get("model.layers.0.mlp.down_proj.weight")).toEqual([2048, 5632]);
});

test("a classifier has a score instead of an output matrix, biases come where the config says", () => {
  expect([...weightShapes({ ...reward, tieEmbeddings: false }).keys()].slice(-2)).toEqual([
    "model.norm.weight",
    "score.weight",
  ]);
  const shapes = weightShapes(tinyLlama({ ...sizes, attention_bias: true, mlp_bias: true }));
  expect(
    [...shapes].filter(([name]) => name.startsWith("model.layers.1") && name.endsWith("bias")),
  ).toEqual(
    Object.entries({ q_proj: 8, k_proj: 4, v_proj: 4, o_proj: 8 })
      .map(([name, size]) => [`model.layers.1.self_attn.${name}.bias`, [size]])
      .concat(
        Object.entries({ gate_proj: 12, up_proj: 12, down_proj: 8 }).map(([name, size]) => [
          `model.layers.1.mlp.${name}.bias`,
          [size],
        ]),
      ),
  );
});

test.each(["F32", "F16"] as const)("weights written as %s come back", async (dtype) => {
  const weights = weightsOf(reward); // multiples of 1/256 below 4: exact in float16
  await writeCheckpoint(folder, reward, weights, { dtype });
  const opened = await Checkpoint.open(folder);
  const torch_dtype = dtype === "F16" ? "float16" : "float32";
  const files = { ...reward.files, config: { ...reward.files.config, torch_dtype } };
  expect(opened.config).toEqual({ ...reward, files });
  expect(opened.names).toEqual([...weights.keys()]);
  expect(opened.stored("score.weight").dtype).toBe(dtype);
  expect(opened.weights()).toEqual(weights);
});

test("writing refuses weights that are not the configuration's", async () => {
  const weights = weightsOf(config);
  await expect(writeCheckpoint(folder, reward, weights, { dtype: "F32" })).rejects.toThrow(
    "'score.weight'",
  );
  weights.set("other", { shape: [1], data: new Float32Array(1) });
  await expect(writeCheckpoint(folder, config, weights, { dtype: "F32" })).rejects.toThrow(
    "'other'",
  );
});

describe("opening a folder whose tensors do not fit", () => {
  const path = () => join(folder, "model.safetensors");
  async function openWith(change: (tensors: Awaited<ReturnType<typeof readSafetensors>>) => void) {
    await writeCheckpoint(folder, config, weightsOf(config), { dtype: "F32" });
    const tensors = await readSafetensors(path());
    change(tensors);
    await writeSafetensors(path(), tensors);
    return Checkpoint.open(folder);
  }

  test("says which are missing", async () => {
    const opening = openWith((tensors) => {
      tensors.delete("model.norm.weight");
      tensors.delete("model.layers.1.mlp.up_proj.weight");
    });
    await expect(opening).rejects.toThrow(
      `${folder}: missing tensors: model.layers.1.mlp.up_proj.weight, model.norm.weight. Copy`,
    );
  });

  test("says which have another shape", async () => {
    const opening = openWith((tensors) => {
      const tensor = tensors.get("model.embed_tokens.weight")!;
      tensors.set("model.embed_tokens.weight", { ...tensor, shape: [8, 11] });
    });
    await expect(opening).rejects.toThrow("model.embed_tokens.weight is [8,11] instead of [11,8]");
  });

  test("says which are of another type", async () => {
    const opening = openWith((tensors) => {
      tensors.set("model.norm.weight", { dtype: "I32", shape: [8], data: new Uint8Array(32) });
    });
    await expect(opening).rejects.toThrow("not floating-point: model.norm.weight");
  });

  test("refuses tensors that would change the result, and overlooks those that would not", async () => {
    const extra = { dtype: "F32", shape: [1], data: new Uint8Array(4) } as const;
    const opening = openWith((tensors) =>
      tensors.set("model.layers.0.self_attn.q_norm.weight", extra),
    );
    await expect(opening).rejects.toThrow("no use for: model.layers.0.self_attn.q_norm.weight");
    const opened = await openWith((tensors) => {
      tensors.set("model.layers.0.self_attn.rotary_emb.inv_freq", extra);
      tensors.set("lm_head.weight", extra); // embeddings are tied
    });
    expect(opened.names).not.toContain("lm_head.weight");
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "names a weight that holds %d",
    async (broken) => {
      const opened = await openWith((tensors) => {
        const data = new Float32Array(8).fill(1);
        data[5] = broken;
        const bytes = new Uint8Array(data.buffer);
        tensors.set("model.norm.weight", { dtype: "F32", shape: [8], data: bytes });
      });
      expect(() => opened.weight("model.norm.weight")).toThrow(
        `model.norm.weight holds ${broken} at index 5`,
      );
      expect(() => opened.weights()).toThrow(`${broken}`);
    },
  );

  test("shortens long lists", async () => {
    await writeCheckpoint(folder, config, weightsOf(config), { dtype: "F32" });
    await writeModelConfig(folder, tinyLlama({ ...sizes, num_hidden_layers: 3 }).files);
    await expect(Checkpoint.open(folder)).rejects.toThrow(/layers\.2\.\S+ and 4 more\./);
  });
});
