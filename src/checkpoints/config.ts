/**
 * What a checkpoint's `config.json` says, in this project's words. A setting that would change the
 * numbers and is not implemented is refused by name; it is never ignored.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Static, Type } from "typebox";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import { readCheckpointJson, readOptionalCheckpointJson } from "../base/json-file.ts";

export const architectures = ["LlamaForCausalLM", "LlamaForSequenceClassification"] as const;

const count = Type.Integer({ minimum: 1 });
const positive = Type.Number({ exclusiveMinimum: 0 });
const tokenId = Type.Integer({ minimum: 0 });

/** How a model samples when the request does not say; what the checkpoint does not say is absent. */
const Sampling = Type.Object({
  temperature: Type.Optional(Type.Number({ minimum: 0 })),
  topP: Type.Optional(positive),
  topK: Type.Optional(Type.Integer({ minimum: 0 })),
  minP: Type.Optional(Type.Number({ minimum: 0 })),
});

export const ModelConfig = Type.Object({
  architecture: Type.Enum([...architectures]),
  vocabSize: count,
  hiddenSize: count,
  intermediateSize: count,
  layers: count,
  heads: count,
  /** Divides `heads`: each key-value head serves heads / kvHeads query heads. */
  kvHeads: count,
  /** Even, for the rotary embedding; heads × headDim need not be hiddenSize. */
  headDim: count,
  /** ε of RMSNorm: x / √(mean(x²) + ε). */
  normEpsilon: positive,
  ropeTheta: positive,
  contextTokens: count,
  /** The output matrix is the embedding matrix. */
  tieEmbeddings: Type.Boolean(),
  attentionBias: Type.Boolean(),
  mlpBias: Type.Boolean(),
  bosId: Type.Union([tokenId, Type.Null()]),
  eosIds: Type.Array(tokenId),
  padId: Type.Union([tokenId, Type.Null()]),
  /** Rows of `score.weight`; present for LlamaForSequenceClassification only. */
  numLabels: Type.Optional(count),
  /** The type that the weights were saved in. */
  dtype: Type.Enum(["float32", "float16", "bfloat16"]),
  sampling: Sampling,
});
export type ModelConfig = Static<typeof ModelConfig>;

/**
 * Reads `config.json`, and `generation_config.json` where there is one, which then decides on the end
 * tokens.
 * @throws GatewayError checkpoint_invalid for a missing or corrupt file or a setting not implemented;
 * architecture_unsupported for another model.
 */
export async function readModelConfig(folder: string): Promise<ModelConfig> {
  const path = join(folder, "config.json");
  const declared = await readCheckpointJson(path, Declared);
  const architecture = architectures.find((name) => name === declared.architectures[0]);
  if (!architecture || declared.model_type !== "llama") throw unsupported(path, declared);
  const settings = await readCheckpointJson(path, Settings);
  refuseUnimplemented(path, settings);
  const generation = await readOptionalCheckpointJson(
    join(folder, "generation_config.json"),
    Generation,
  );
  const config = fromHuggingFace(architecture, settings, generation ?? {});
  const problem = contradiction(config);
  if (problem)
    throw new GatewayError("checkpoint_invalid", { path, problem, remedy: "Correct it." });
  return config;
}

/** Writes the two files that `readModelConfig` reads; Python's transformers reads them too. */
export async function writeModelConfig(folder: string, config: ModelConfig): Promise<void> {
  await mkdir(folder, { recursive: true });
  const files = {
    "config.json": toHuggingFace(config),
    "generation_config.json": generation(config),
  };
  for (const [name, content] of Object.entries(files)) {
    await writeFileAtomically(join(folder, name), [`${JSON.stringify(content, null, 2)}\n`]);
  }
}

const Declared = Type.Object({
  architectures: Type.Array(Type.String(), { minItems: 1 }),
  model_type: Type.String(),
});

function unsupported(
  path: string,
  { architectures: names, model_type: type }: Static<typeof Declared>,
) {
  const architecture = `${names.join(", ")} (model_type ${type})`;
  return new GatewayError("architecture_unsupported", { path, architecture, known: architectures });
}

const nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Optional(Type.Union([schema, Type.Null()]));
const ids = nullable(Type.Union([Type.Integer(), Type.Array(Type.Integer())]));

/** The keys of `config.json` that are read. Defaults: transformers' LlamaConfig. */
const Settings = Type.Object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: nullable(count),
  head_dim: nullable(count),
  rms_norm_eps: Type.Optional(positive),
  rope_theta: Type.Optional(positive),
  rope_parameters: nullable(
    Type.Object({ rope_type: Type.Optional(Type.String()), rope_theta: positive }),
  ),
  max_position_embeddings: Type.Optional(count),
  tie_word_embeddings: Type.Optional(Type.Boolean()),
  attention_bias: Type.Optional(Type.Boolean()),
  mlp_bias: Type.Optional(Type.Boolean()),
  bos_token_id: nullable(Type.Integer()),
  eos_token_id: ids,
  pad_token_id: nullable(Type.Integer()),
  num_labels: Type.Optional(count),
  id2label: nullable(Type.Record(Type.String(), Type.Unknown())),
  dtype: nullable(Type.String()),
  torch_dtype: nullable(Type.String()),
});
type Settings = Static<typeof Settings>;

const Generation = Type.Object({
  eos_token_id: ids,
  temperature: nullable(Type.Number({ minimum: 0 })),
  top_p: nullable(positive),
  top_k: nullable(Type.Integer({ minimum: 0 })),
  min_p: nullable(Type.Number({ minimum: 0 })),
  do_sample: nullable(Type.Boolean()),
});
type Generation = Static<typeof Generation>;

/** Settings that change the numbers → the values that are implemented. An absent key is one of them. */
const implemented: Record<string, readonly unknown[]> = {
  hidden_act: ["silu"],
  rope_scaling: [null],
  rope_interleaved: [false, null],
  partial_rotary_factor: [1, null],
  sliding_window: [null],
  use_sliding_window: [false, null],
  attention_chunk_size: [null],
  pretraining_tp: [1],
  quantization_config: [null],
  attention_multiplier: [null],
  embedding_multiplier: [1, null],
  residual_multiplier: [1, null],
  logits_scaling: [1, null],
  attn_logit_softcapping: [null],
  final_logit_softcapping: [null],
  use_qk_norm: [false, null],
  qk_layernorm: [false, null],
  is_encoder_decoder: [false],
  add_cross_attention: [false],
};

function refuseUnimplemented(path: string, settings: Settings): void {
  const given: Record<string, unknown> = settings;
  for (const [key, values] of Object.entries(implemented)) {
    if (key in given && !values.includes(given[key]))
      throw notImplemented(path, key, given[key], values);
  }
  const ropeType = settings.rope_parameters?.rope_type ?? "default";
  if (ropeType !== "default") {
    throw notImplemented(path, "rope_parameters.rope_type", ropeType, ["default"]);
  }
  const layerTypes = Array.isArray(given["layer_types"]) ? given["layer_types"] : [];
  const other = layerTypes.find((type) => type !== "full_attention");
  if (other !== undefined) throw notImplemented(path, "layer_types", other, ["full_attention"]);
}

function notImplemented(path: string, key: string, value: unknown, values: readonly unknown[]) {
  return new GatewayError("checkpoint_invalid", {
    path,
    problem: `'${key}' is ${JSON.stringify(value)}, which is not implemented`,
    remedy: `Supported values: ${values.map((each) => JSON.stringify(each)).join(", ")}.`,
  });
}

function fromHuggingFace(
  architecture: ModelConfig["architecture"],
  s: Settings,
  g: Generation,
): ModelConfig {
  const config: ModelConfig = {
    architecture,
    vocabSize: s.vocab_size,
    hiddenSize: s.hidden_size,
    intermediateSize: s.intermediate_size,
    layers: s.num_hidden_layers,
    heads: s.num_attention_heads,
    kvHeads: s.num_key_value_heads ?? s.num_attention_heads,
    headDim: s.head_dim ?? s.hidden_size / s.num_attention_heads,
    normEpsilon: s.rms_norm_eps ?? 1e-6,
    ropeTheta: s.rope_parameters?.rope_theta ?? s.rope_theta ?? 10_000,
    contextTokens: s.max_position_embeddings ?? 2048,
    tieEmbeddings: s.tie_word_embeddings ?? false,
    attentionBias: s.attention_bias ?? false,
    mlpBias: s.mlp_bias ?? false,
    bosId: knownId(s.bos_token_id),
    eosIds: [g.eos_token_id ?? s.eos_token_id ?? []].flat(),
    padId: knownId(s.pad_token_id),
    dtype: dtypeName(s.dtype ?? s.torch_dtype),
    sampling: sampling(g),
  };
  if (architecture === "LlamaForSequenceClassification") {
    config.numLabels = s.num_labels ?? (s.id2label ? Object.keys(s.id2label).length : 2);
  }
  return config;
}

/** Older checkpoints write −1 for "none". */
const knownId = (id: number | null | undefined) =>
  id === undefined || id === null || id < 0 ? null : id;

function dtypeName(name: string | null | undefined): ModelConfig["dtype"] {
  return name === "float16" || name === "bfloat16" ? name : "float32";
}

function sampling({ do_sample: doSample, ...g }: Generation): ModelConfig["sampling"] {
  if (doSample === false) return { temperature: 0 };
  return {
    ...(typeof g.temperature === "number" && { temperature: g.temperature }),
    ...(typeof g.top_p === "number" && { topP: g.top_p }),
    ...(typeof g.top_k === "number" && { topK: g.top_k }),
    ...(typeof g.min_p === "number" && { minP: g.min_p }),
  };
}

/** What no type can say; null when all is well. */
function contradiction(config: ModelConfig): string | null {
  const { heads, kvHeads, headDim, vocabSize } = config;
  if (!Number.isInteger(headDim))
    return `hidden_size is not a multiple of num_attention_heads ${heads}`;
  if (headDim % 2 !== 0) return `head_dim ${headDim} is odd; rotary embeddings need pairs`;
  if (heads % kvHeads !== 0) {
    return `num_attention_heads ${heads} is not a multiple of num_key_value_heads ${kvHeads}`;
  }
  const stray = [config.bosId ?? 0, config.padId ?? 0, ...config.eosIds].find(
    (id) => id < 0 || id >= vocabSize,
  );
  return stray === undefined ? null : `token id ${stray} is outside the vocabulary of ${vocabSize}`;
}

function toHuggingFace(config: ModelConfig): object {
  const { eosIds, numLabels } = config;
  return {
    architectures: [config.architecture],
    model_type: "llama",
    vocab_size: config.vocabSize,
    hidden_size: config.hiddenSize,
    intermediate_size: config.intermediateSize,
    num_hidden_layers: config.layers,
    num_attention_heads: config.heads,
    num_key_value_heads: config.kvHeads,
    head_dim: config.headDim,
    hidden_act: "silu",
    rms_norm_eps: config.normEpsilon,
    rope_theta: config.ropeTheta,
    rope_scaling: null,
    max_position_embeddings: config.contextTokens,
    tie_word_embeddings: config.tieEmbeddings,
    attention_bias: config.attentionBias,
    mlp_bias: config.mlpBias,
    bos_token_id: config.bosId,
    eos_token_id: eosIds.length === 1 ? eosIds[0] : eosIds,
    pad_token_id: config.padId,
    // transformers keeps the number of labels only as the size of this table
    ...(numLabels !== undefined && {
      id2label: Object.fromEntries(Array.from({ length: numLabels }, (_, i) => [i, `LABEL_${i}`])),
      label2id: Object.fromEntries(Array.from({ length: numLabels }, (_, i) => [`LABEL_${i}`, i])),
    }),
    torch_dtype: config.dtype,
  };
}

function generation({ bosId, eosIds, padId, sampling: s }: ModelConfig): object {
  return {
    bos_token_id: bosId,
    eos_token_id: eosIds,
    pad_token_id: padId,
    ...(s.temperature === 0
      ? { do_sample: false }
      : Object.keys(s).length > 0 && { do_sample: true }),
    ...(s.temperature !== undefined && s.temperature > 0 && { temperature: s.temperature }),
    ...(s.topP !== undefined && { top_p: s.topP }),
    ...(s.topK !== undefined && { top_k: s.topK }),
    ...(s.minP !== undefined && { min_p: s.minP }),
  };
}
