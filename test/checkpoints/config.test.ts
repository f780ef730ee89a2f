import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type ModelConfig,
  readModelConfig,
  writeModelConfig,
} from "../../src/checkpoints/config.ts";
import { modelOf } from "../support/configs.ts";

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

const plainRotary = { window: null, rotary: { theta: 10_000, scaling: null } };

const expected: ModelConfig = {
  task: "generation",
  vocabSize: 32000,
  hiddenSize: 2048,
  intermediateSize: 5632,
  layers: 22,
  heads: 32,
  kvHeads: 4,
  headDim: 64,
  contextTokens: 2048,
  tieEmbeddings: false,
  normEpsilon: 1e-5,
  unitOffsetNorms: false,
  postNorms: false,
  headNorms: false,
  qkvBias: false,
  outputBias: false,
  mlpBias: false,
  activation: "silu",
  embeddingScale: 1,
  attentionScale: 0.125,
  attentionSoftcap: null,
  logitSoftcap: null,
  attention: Array.from({ length: 22 }, () => plainRotary),
  bosId: 1,
  eosIds: [2],
  padId: null,
  labels: 1,
  scoreHead: "linear",
  sampling: {},
  files: { config: tinyLlama, generation: null },
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
    attention: [plainRotary, plainRotary],
    contextTokens: 2048,
    tieEmbeddings: false,
    bosId: null,
    eosIds: [],
    padId: null,
  });
});

test("reads the spelling of transformers 5", async () => {
  const rope = { rope_parameters: { rope_theta: 500_000, rope_type: "default" }, dtype: "float16" };
  await put("config.json", { ...tinyLlama, ...rope, torch_dtype: undefined });
  const { attention } = await readModelConfig(folder);
  expect(attention[0]!.rotary).toEqual({ theta: 500_000, scaling: null });
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
  expect((await readModelConfig(folder)).labels).toBe(1);
  await put("config.json", classifier);
  expect((await readModelConfig(folder)).labels).toBe(2); // transformers' default
});

test("what is written is what was read", async () => {
  const files = { config: tinyLlama, generation: { eos_token_id: 2, do_sample: false } };
  await writeModelConfig(folder, files);
  expect((await readModelConfig(folder)).files).toEqual(files);
});

/** As the families' own repositories have them, as far as it differs from Llama's. */
const sizes = {
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 4096,
};
const family = (model_type: string, name: string, more: object) =>
  modelOf({ architectures: [`${name}ForCausalLM`], model_type, ...sizes, ...more });
const windows = ({ attention }: ModelConfig) => attention.map(({ window }) => window);

describe("families", () => {
  test("Llama 3.1's rope", () => {
    const rope_scaling = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const { attention } = family("llama", "Llama", { rope_theta: 5e5, rope_scaling });
    expect(attention[0]!.rotary).toEqual({
      theta: 5e5,
      scaling: {
        type: "llama3",
        factor: 8,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalContext: 8192,
      },
    });
  });
  test("Mistral slides in every layer, unless its file says null", () => {
    expect(windows(family("mistral", "Mistral", {}))).toEqual(Array(6).fill(4096));
    expect(windows(family("mistral", "Mistral", { sliding_window: null }))).toEqual(
      Array(6).fill(null),
    );
  });
  test("Qwen 2 has biases before attention and none after, and slides late if at all", () => {
    const plain = family("qwen2", "Qwen2", { sliding_window: 32, max_window_layers: 4 });
    expect([plain.qkvBias, plain.outputBias, plain.mlpBias]).toEqual([true, false, false]);
    expect(windows(plain)).toEqual(Array(6).fill(null));
    const more = { sliding_window: 32, max_window_layers: 4, use_sliding_window: true };
    expect(windows(family("qwen2", "Qwen2", more))).toEqual([null, null, null, null, 32, 32]);
  });
  test("Qwen 2.5's yarn is enlarged by 0.1·ln 4 + 1", () => {
    const rope_scaling = { type: "yarn", factor: 4, original_max_position_embeddings: 1024 };
    const { attention } = family("qwen2", "Qwen2", { rope_scaling });
    expect(attention[0]!.rotary!.scaling).toMatchObject({
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
    });
  });
  test("Qwen 3 norms its heads", () => {
    const config = family("qwen3", "Qwen3", {});
    expect([config.headNorms, config.headDim, config.qkvBias]).toEqual([true, 128, false]);
  });
  test("SmolLM3 does not tell every fourth layer the positions", () => {
    const told = (more: object) =>
      family("smollm3", "SmolLM3", more).attention.map(({ rotary }) => rotary !== null);
    expect(told({})).toEqual([true, true, true, false, true, true]);
    expect(told({ no_rope_layers: [0, 1, 1, 1, 1, 0] })).toEqual([
      false,
      true,
      true,
      true,
      true,
      false,
    ]);
  });
  test("Gemma 2 norms on both sides, caps, and slides in every other layer", () => {
    const config = family("gemma2", "Gemma2", { query_pre_attn_scalar: 16 });
    expect(windows(config)).toEqual([4096, null, 4096, null, 4096, null]);
    expect(config).toMatchObject({
      unitOffsetNorms: true,
      postNorms: true,
      embeddingScale: 8,
      activation: "gelu-tanh",
      attentionScale: 0.25,
      attentionSoftcap: 50,
      logitSoftcap: 30,
      tieEmbeddings: true,
    });
  });
  test("Gemma 3 turns its sliding layers otherwise than its full ones", () => {
    const rope_scaling = { rope_type: "linear", factor: 8 };
    const config = family("gemma3_text", "Gemma3", { sliding_window: 512, rope_scaling });
    const sliding = { window: 512, rotary: { theta: 10_000, scaling: null } };
    const full = {
      window: null,
      rotary: { theta: 1e6, scaling: { type: "linear", factor: 8 } },
    };
    expect(config.attention).toEqual([sliding, sliding, sliding, sliding, sliding, full]);
    const rope_parameters = {
      full_attention: { rope_type: "linear", factor: 8, rope_theta: 1e6 },
      sliding_attention: { rope_type: "default", rope_theta: 10_000 },
    };
    const layer_types = ["full_attention", ...Array(5).fill("sliding_attention")];
    const newer = family("gemma3_text", "Gemma3", {
      sliding_window: 512,
      rope_parameters,
      layer_types,
    });
    expect(newer.attention).toEqual([full, sliding, sliding, sliding, sliding, sliding]);
  });
});

describe("refuses, by name,", () => {
  test.each([
    [
      "rope_scaling.rope_type",
      { rope_scaling: { rope_type: "longrope", factor: 8 } },
      '"default", "linear", "llama3", "yarn"',
    ],
    ["rope_scaling.mscale", { rope_scaling: { type: "yarn", factor: 8, mscale: 1 } }, ""],
    ["hidden_act", { hidden_act: "gelu" }, '"silu"'],
    ["sliding_window", { sliding_window: 4096 }, "null"],
    ["layer_types", { layer_types: ["full_attention", "sliding_attention"] }, '"full_attention"'],
    ["pretraining_tp", { pretraining_tp: 2 }, "1"],
    ["attn_logit_softcapping", { attn_logit_softcapping: 50 }, "null"],
    ["final_logit_softcapping", { final_logit_softcapping: 30 }, "null"],
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
      { architectures: ["MixtralForCausalLM"], model_type: "mixtral" },
      "MixtralForCausalLM (model_type mixtral)",
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
