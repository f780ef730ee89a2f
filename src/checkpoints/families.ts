/**
 * The model families that are served, by `model_type`: what each one's `config.json` means for the
 * transformer, with the defaults of transformers' configuration classes for keys that a file leaves out.
 * A setting that would change the numbers and is not implemented is refused by name, never ignored.
 */
import { type Static, Type } from "typebox";
import type { Rotary, RotaryScaling } from "../onnx/rotary.ts";
import type { AttentionKind, TransformerConfig } from "../onnx/transformer.ts";

export interface Family {
  /** Its classes are `${prefix}ForCausalLM`, and `${scorerPrefix}` or `${prefix}` before the other tasks' endings. */
  readonly prefix: string;
  readonly scorerPrefix?: string;
  /** A class of its authors that scores tokens with a head of two layers. */
  readonly twoLayerScorer?: string;
  /** What `config.json` may leave out. */
  readonly defaults: Partial<Settings>;
  /** Keys whose other values would change the numbers → the values implemented; an absent key is one of them. */
  readonly implemented?: Readonly<Record<string, readonly unknown[]>>;
  readonly differences: (settings: Settings) => Partial<TransformerConfig>;
}

const count = Type.Integer({ minimum: 1 });
const positive = Type.Number({ exclusiveMinimum: 0 });
export const nullable = <S extends Parameters<typeof Type.Union>[0][number]>(schema: S) =>
  Type.Optional(Type.Union([schema, Type.Null()]));

const RopeSettings = Type.Object({
  rope_theta: Type.Optional(positive),
  rope_type: Type.Optional(Type.String()),
  /** The older name of `rope_type`. */
  type: Type.Optional(Type.String()),
  factor: Type.Optional(positive),
  low_freq_factor: Type.Optional(positive),
  high_freq_factor: Type.Optional(positive),
  original_max_position_embeddings: nullable(count),
  beta_fast: nullable(positive),
  beta_slow: nullable(positive),
  attention_factor: nullable(positive),
  mscale: Type.Optional(Type.Unknown()),
  mscale_all_dim: Type.Optional(Type.Unknown()),
  truncate: Type.Optional(Type.Boolean()),
});
type RopeSettings = Static<typeof RopeSettings>;

/** The keys of `config.json` that decide on the numbers, of all families. */
export const Settings = Type.Object({
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: nullable(count),
  head_dim: nullable(count),
  rms_norm_eps: Type.Optional(positive),
  hidden_act: Type.Optional(Type.String()),
  hidden_activation: nullable(Type.String()),
  max_position_embeddings: Type.Optional(count),
  tie_word_embeddings: Type.Optional(Type.Boolean()),
  attention_bias: Type.Optional(Type.Boolean()),
  mlp_bias: Type.Optional(Type.Boolean()),
  rope_theta: Type.Optional(positive),
  rope_local_base_freq: Type.Optional(positive),
  rope_scaling: nullable(RopeSettings),
  /** Of transformers 5: of all layers, or of each kind of layer. */
  rope_parameters: nullable(
    Type.Union([Type.Record(Type.String(), Type.Union([RopeSettings, Type.Null()])), RopeSettings]),
  ),
  sliding_window: nullable(count),
  use_sliding_window: nullable(Type.Boolean()),
  max_window_layers: Type.Optional(Type.Integer({ minimum: 0 })),
  sliding_window_pattern: Type.Optional(count),
  layer_types: nullable(Type.Array(Type.String())),
  no_rope_layers: nullable(Type.Array(Type.Integer())),
  no_rope_layer_interval: Type.Optional(count),
  query_pre_attn_scalar: Type.Optional(positive),
  attn_logit_softcapping: nullable(positive),
  final_logit_softcapping: nullable(positive),
});
export type Settings = Static<typeof Settings>;

const noSoftcaps = { attn_logit_softcapping: [null], final_logit_softcapping: [null] };
const silu = { ...noSoftcaps, hidden_act: ["silu"] };
const gemmaActivation = { hidden_activation: ["gelu_pytorch_tanh", null] };
const fullAttention = { sliding_window: [null], use_sliding_window: [false, null] };

/** Gemma's: norms around 1, scaled embeddings, the tanh form of GELU. */
const gemma = (s: Settings): Partial<TransformerConfig> => ({
  unitOffsetNorms: true,
  activation: "gelu-tanh",
  embeddingScale: Math.fround(Math.sqrt(s.hidden_size)),
});

/** Gemma 2's and 3's. */
const gemma2 = (s: Settings): Partial<TransformerConfig> => ({
  ...gemma(s),
  postNorms: true,
  attentionScale: (s.query_pre_attn_scalar ?? 256) ** -0.5,
  attentionSoftcap: s.attn_logit_softcapping ?? null,
  logitSoftcap: s.final_logit_softcapping ?? null,
});

const gemmaDefaults = {
  head_dim: 256,
  hidden_activation: "gelu_pytorch_tanh",
  max_position_embeddings: 8192,
  tie_word_embeddings: true,
};

export const families: Readonly<Record<string, Family>> = {
  llama: {
    prefix: "Llama",
    defaults: {},
    implemented: { ...silu, ...fullAttention, pretraining_tp: [1] },
    differences: (s) => ({ outputBias: s.attention_bias ?? false }),
  },
  mistral: {
    prefix: "Mistral",
    defaults: {
      num_key_value_heads: 8,
      max_position_embeddings: 131_072,
      sliding_window: 4096,
    },
    implemented: silu,
    differences: (s) => ({
      attention: perLayer(s, () => (s.sliding_window ? "sliding_attention" : "full_attention")),
    }),
  },
  qwen2: {
    prefix: "Qwen2",
    twoLayerScorer: "Qwen2ForProcessRewardModel", // of Qwen2.5-Math-PRM
    defaults: { num_key_value_heads: 32, max_position_embeddings: 32_768, attention_bias: true },
    implemented: silu,
    differences: (s) => ({ attention: perLayer(s, qwenLayer(s)) }),
  },
  qwen3: {
    prefix: "Qwen3",
    defaults: { num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32_768 },
    implemented: silu,
    differences: (s) => ({
      headNorms: true,
      outputBias: s.attention_bias ?? false,
      attention: perLayer(s, qwenLayer(s)),
    }),
  },
  smollm3: {
    prefix: "SmolLM3",
    defaults: {
      num_key_value_heads: 4,
      max_position_embeddings: 32_768,
      rope_theta: 2_000_000,
      tie_word_embeddings: true,
    },
    implemented: { ...silu, ...fullAttention },
    differences: (s) => ({
      outputBias: s.attention_bias ?? false,
      attention: perLayer(s, () => "full_attention").map((kind, layer) =>
        hasRotary(s, layer) ? kind : { ...kind, rotary: null },
      ),
    }),
  },
  gemma: {
    prefix: "Gemma",
    defaults: { ...gemmaDefaults, num_key_value_heads: 16, hidden_act: "gelu_pytorch_tanh" },
    implemented: { ...noSoftcaps, ...gemmaActivation, hidden_act: ["gelu_pytorch_tanh"] },
    differences: (s) => ({ ...gemma(s), outputBias: s.attention_bias ?? false }),
  },
  gemma2: {
    prefix: "Gemma2",
    defaults: {
      ...gemmaDefaults,
      num_key_value_heads: 4,
      sliding_window: 4096,
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
    },
    implemented: { ...gemmaActivation, use_bidirectional_attention: [null, false] },
    differences: (s) => ({
      ...gemma2(s),
      outputBias: s.attention_bias ?? false,
      attention: perLayer(s, (layer) => (layer % 2 ? "full_attention" : "sliding_attention")),
    }),
  },
  gemma3_text: {
    prefix: "Gemma3",
    scorerPrefix: "Gemma3Text",
    defaults: {
      ...gemmaDefaults,
      num_key_value_heads: 4,
      max_position_embeddings: 131_072,
      rope_theta: 1_000_000,
      rope_local_base_freq: 10_000,
      sliding_window: 4096,
      sliding_window_pattern: 6,
    },
    implemented: { ...gemmaActivation, use_bidirectional_attention: [null, false] },
    differences: (s) => {
      const isFull = (layer: number) => (layer + 1) % (s.sliding_window_pattern ?? 6) === 0;
      return {
        ...gemma2(s),
        headNorms: true,
        outputBias: s.attention_bias ?? false,
        attention: perLayer(s, (layer) => (isFull(layer) ? "full_attention" : "sliding_attention")),
      };
    },
  },
};

/** What no family implements otherwise. */
const implementedByAll: Readonly<Record<string, readonly unknown[]>> = {
  rope_interleaved: [false, null],
  partial_rotary_factor: [1, null],
  attention_chunk_size: [null],
  quantization_config: [null],
  attention_multiplier: [null],
  embedding_multiplier: [1, null],
  residual_multiplier: [1, null],
  logits_scaling: [1, null],
  use_qk_norm: [false, null],
  qk_layernorm: [false, null],
  is_encoder_decoder: [false],
  add_cross_attention: [false],
};

/** @throws Unimplemented */
export function transformerOf(family: Family, given: Settings): TransformerConfig {
  const s = { ...family.defaults, ...given };
  refuseUnimplemented({ ...implementedByAll, ...family.implemented }, s);
  const headDim = s.head_dim ?? s.hidden_size / s.num_attention_heads;
  return {
    vocabSize: s.vocab_size,
    hiddenSize: s.hidden_size,
    intermediateSize: s.intermediate_size,
    layers: s.num_hidden_layers,
    heads: s.num_attention_heads,
    kvHeads: s.num_key_value_heads ?? s.num_attention_heads,
    headDim,
    contextTokens: s.max_position_embeddings ?? 2048,
    tieEmbeddings: s.tie_word_embeddings ?? false,
    normEpsilon: s.rms_norm_eps ?? 1e-6,
    unitOffsetNorms: false,
    postNorms: false,
    headNorms: false,
    qkvBias: s.attention_bias ?? false,
    outputBias: false,
    mlpBias: s.mlp_bias ?? false,
    activation: "silu",
    embeddingScale: 1,
    attentionScale: headDim ** -0.5,
    attentionSoftcap: null,
    logitSoftcap: null,
    attention: perLayer(s, () => "full_attention"),
    labels: 1,
    scoreHead: "linear",
    ...family.differences(s),
  };
}

/** A value that changes the numbers and that nothing here computes. */
export class Unimplemented extends Error {
  readonly remedy: string;
  constructor(key: string, value: unknown, values: readonly unknown[]) {
    super(`'${key}' is ${JSON.stringify(value)}, which is not implemented`);
    this.remedy = `Supported values: ${values.map((each) => JSON.stringify(each)).join(", ")}.`;
  }
}

function refuseUnimplemented(
  implemented: Readonly<Record<string, readonly unknown[]>>,
  settings: Readonly<Record<string, unknown>>,
): void {
  for (const [key, values] of Object.entries(implemented)) {
    if (settings[key] === undefined || values.includes(settings[key])) continue;
    throw new Unimplemented(key, settings[key], values);
  }
}

// ---- Attention, layer by layer

type LayerType = "full_attention" | "sliding_attention";

/** Qwen's: the first `max_window_layers` layers see everything. */
function qwenLayer({ use_sliding_window: isUsed, max_window_layers: full = 28 }: Settings) {
  return (layer: number): LayerType =>
    isUsed && layer >= full ? "sliding_attention" : "full_attention";
}

/** SmolLM3's: every fourth layer is not told positions, unless a list says which. 1: it is told. */
function hasRotary(s: Settings, layer: number): boolean {
  if (s.no_rope_layers) return s.no_rope_layers[layer] === 1;
  return (layer + 1) % (s.no_rope_layer_interval ?? 4) !== 0;
}

/** @param usual what a layer is where `layer_types` does not say. */
function perLayer(s: Settings, usual: (layer: number) => LayerType): AttentionKind[] {
  const kinds = {
    full_attention: { window: null, rotary: rotaryOf(s, "full_attention") },
    sliding_attention: {
      window: s.sliding_window ?? null,
      rotary: rotaryOf(s, "sliding_attention"),
    },
  };
  return Array.from({ length: s.num_hidden_layers }, (_, layer) => {
    const type = s.layer_types?.[layer] ?? usual(layer);
    if (type === "full_attention") return kinds[type];
    if (type === "sliding_attention" && s.sliding_window) return kinds[type];
    throw new Unimplemented("layer_types", type, ["full_attention"]);
  });
}

/** A family with `rope_local_base_freq` turns its sliding layers by that, without scaling. */
function rotaryOf(s: Settings, type: LayerType): Rotary {
  const parameters = s.rope_parameters;
  if (parameters) {
    const own = type in parameters ? (parameters as Record<string, RopeSettings>)[type]! : null;
    return rotary(s, own ?? (parameters as RopeSettings), s.rope_theta);
  }
  if (type === "sliding_attention" && s.rope_local_base_freq !== undefined) {
    return { theta: s.rope_local_base_freq, scaling: null };
  }
  return rotary(s, s.rope_scaling ?? {}, s.rope_theta);
}

function rotary(s: Settings, rope: RopeSettings, theta = 10_000): Rotary {
  return { theta: rope.rope_theta ?? theta, scaling: scalingOf(s, rope) };
}

/** Source of names and defaults: transformers' `modeling_rope_utils`. */
function scalingOf(s: Settings, rope: RopeSettings): RotaryScaling | null {
  const type = rope.rope_type ?? rope.type ?? "default";
  const context = rope.original_max_position_embeddings ?? s.max_position_embeddings ?? 2048;
  const factor = rope.factor ?? 1;
  switch (type) {
    case "default":
      return null;
    case "linear":
      return { type, factor };
    case "llama3":
      return {
        type,
        factor,
        lowFrequencyFactor: rope.low_freq_factor ?? 1,
        highFrequencyFactor: rope.high_freq_factor ?? 4,
        originalContext: context,
      };
    case "yarn":
      for (const key of ["mscale", "mscale_all_dim"] as const) {
        if (rope[key] !== undefined) throw new Unimplemented(`rope_scaling.${key}`, rope[key], []);
      }
      return {
        type,
        factor,
        betaFast: rope.beta_fast ?? 32,
        betaSlow: rope.beta_slow ?? 1,
        originalContext: context,
        attentionFactor: rope.attention_factor ?? (factor > 1 ? 0.1 * Math.log(factor) + 1 : 1),
        truncate: rope.truncate ?? true,
      };
    default:
      throw new Unimplemented("rope_scaling.rope_type", type, [
        "default",
        "linear",
        "llama3",
        "yarn",
      ]);
  }
}
