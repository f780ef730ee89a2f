import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type ModelConfig,
  readModelConfig,
  writeModelConfig,
} from "../../src/checkpoints/config.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "config-"));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(() => rm(join(folder, "generation_config.json"), { force: true }));

const put = (name: string, value: unknown) => writeFile(join(folder, name), JSON.stringify(value));

/** As TinyLlama/TinyLlama-1.1B-Chat-v1.0 has it. */
const tinyLlama = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  bos_token_id: 1,
  eos_token_id: 2,
  hidden_act: "silu",
  hidden_size: 2048,
  initializer_range: 0.02,
  intermediate_size: 5632,
  max_position_embeddings: 2048,
  model_type: "llama",
  num_attention_heads: 32,
  num_hidden_layers: 22,
  num_key_value_heads: 4,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  rope_theta: 10000.0,
  tie_word_embeddings: false,
  torch_dtype: "bfloat16",
  transformers_version: "4.35.0",
  use_cache: true,
  vocab_size: 32000,
};

const expected: ModelConfig = {
  architecture: "LlamaForCausalLM",
  vocabSize: 32000,
  hiddenSize: 2048,
  intermediateSize: 5632,
  layers: 22,
  heads: 32,
  kvHeads: 4,
  headDim: 64,
  normEpsilon: 1e-5,
  ropeTheta: 10000,
  contextTokens: 2048,
  tieEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
  bosId: 1,
  eosIds: [2],
  padId: null,
  dtype: "bfloat16",
  sampling: {},
};

test("reads a published configuration", async () => {
  await put("config.json", tinyLlama);
  expect(await readModelConfig(folder)).toEqual(expected);
});

test("fills in what transformers' LlamaConfig would", async () => {
  const { architectures, model_type, vocab_size, hidden_size, intermediate_size } = tinyLlama;
  const sizes = {
    vocab_size,
    hidden_size,
    intermediate_size,
    num_hidden_layers: 2,
    num_attention_heads: 8,
  };
  await put("config.json", { architectures, model_type, ...sizes, pad_token_id: -1 });
  expect(await readModelConfig(folder)).toMatchObject({
    kvHeads: 8,
    headDim: 256,
    normEpsilon: 1e-6,
    ropeTheta: 10_000,
    contextTokens: 2048,
    tieEmbeddings: false,
    bosId: null,
    eosIds: [],
    padId: null,
    dtype: "float32",
  });
});

test("reads the spelling of transformers 5", async () => {
  const rope = { rope_parameters: { rope_theta: 500_000, rope_type: "default" }, dtype: "float16" };
  await put("config.json", { ...tinyLlama, ...rope, torch_dtype: undefined });
  expect(await readModelConfig(folder)).toMatchObject({ ropeTheta: 500_000, dtype: "float16" });
});

test("takes end tokens and sampling from generation_config.json", async () => {
  await put("config.json", tinyLlama);
  await put("generation_config.json", {
    eos_token_id: [2, 7],
    do_sample: true,
    temperature: 0.6,
    top_p: 0.9,
  });
  const config = await readModelConfig(folder);
  expect(config.eosIds).toEqual([2, 7]);
  expect(config.sampling).toEqual({ temperature: 0.6, topP: 0.9 });
  await put("generation_config.json", { do_sample: false, temperature: 0.6 });
  expect((await readModelConfig(folder)).sampling).toEqual({ temperature: 0 });
});

test("counts the labels of a classifier", async () => {
  const classifier = { ...tinyLlama, architectures: ["LlamaForSequenceClassification"] };
  await put("config.json", { ...classifier, id2label: { 0: "LABEL_0" } });
  expect((await readModelConfig(folder)).numLabels).toBe(1);
  await put("config.json", classifier);
  expect((await readModelConfig(folder)).numLabels).toBe(2); // transformers' default
});

test.each<[string, Partial<ModelConfig>]>([
  ["a plain model", {}],
  ["sampling defaults", { sampling: { temperature: 0.7, topP: 0.95, topK: 40, minP: 0.05 } }],
  ["greedy sampling", { sampling: { temperature: 0 } }],
  ["several end tokens", { eosIds: [2, 3], bosId: null, padId: 0, dtype: "float32" }],
  ["no end token", { eosIds: [] }],
  ["other shapes", { headDim: 128, tieEmbeddings: true, attentionBias: true, mlpBias: true }],
  ["a reward model", { architecture: "LlamaForSequenceClassification", numLabels: 1 }],
])("%s comes back as it was written", async (_, change) => {
  const config = { ...expected, ...change };
  await writeModelConfig(folder, config);
  expect(await readModelConfig(folder)).toEqual(config);
});

describe("refuses, by name,", () => {
  test.each([
    ["rope_scaling", { rope_scaling: { rope_type: "llama3", factor: 8 } }, "null"],
    [
      "rope_parameters.rope_type",
      { rope_parameters: { rope_theta: 1e4, rope_type: "yarn" } },
      '"default"',
    ],
    ["hidden_act", { hidden_act: "gelu" }, '"silu"'],
    ["sliding_window", { sliding_window: 4096 }, "null"],
    ["layer_types", { layer_types: ["full_attention", "sliding_attention"] }, '"full_attention"'],
    ["pretraining_tp", { pretraining_tp: 2 }, "1"],
    ["quantization_config", { quantization_config: { bits: 4 } }, "null"],
    ["partial_rotary_factor", { partial_rotary_factor: 0.5 }, "1, null"],
  ])("a value of %s that is not implemented", async (key, change, supported) => {
    await put("config.json", { ...tinyLlama, ...change });
    const error: unknown = await readModelConfig(folder).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
    expect(String(error)).toContain(`'${key}' is `);
    expect(String(error)).toContain(`Supported values: ${supported}.`);
  });

  test.each([
    [
      { architectures: ["MistralForCausalLM"], model_type: "mistral" },
      "MistralForCausalLM (model_type mistral)",
    ],
    [{ model_type: "granite" }, "LlamaForCausalLM (model_type granite)"],
  ])("another architecture: %j", async (change, name) => {
    await put("config.json", { ...tinyLlama, ...change });
    await expect(readModelConfig(folder)).rejects.toMatchObject({
      code: "architecture_unsupported",
      message: expect.stringContaining(`'${name}'. Supported: LlamaForCausalLM, LlamaForSequ`),
    });
  });

  test.each([
    [{ num_key_value_heads: 5 }, "not a multiple of num_key_value_heads 5"],
    [
      { num_attention_heads: 31, num_key_value_heads: 31 },
      "not a multiple of num_attention_heads 31",
    ],
    [{ head_dim: 63 }, "head_dim 63 is odd"],
    [{ eos_token_id: [2, 32_000] }, "token id 32000 is outside"],
    [{ vocab_size: 0 }, "'vocab_size' must be at least 1"],
    [{ vocab_size: undefined }, "'vocab_size' is required"],
    [{ architectures: [] }, "'architectures'"],
  ])("a contradiction: %j", async (change, problem) => {
    await put("config.json", { ...tinyLlama, ...change });
    const error: unknown = await readModelConfig(folder).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: "checkpoint_invalid" });
    expect(String(error)).toContain(problem);
  });

  test("a missing file, and one that is not JSON", async () => {
    await writeFile(join(folder, "config.json"), "{");
    await expect(readModelConfig(folder)).rejects.toThrow(/config\.json: not JSON/);
    await rm(join(folder, "config.json"));
    await expect(readModelConfig(folder)).rejects.toThrow(/config\.json: the file is missing/);
  });
});
