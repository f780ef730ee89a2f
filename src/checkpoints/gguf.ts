/**
 * A checkpoint as one GGUF file, which llama.cpp and what is built on it read. Written are the families whose
 * computation there is the same as here; the rest is refused by name.
 * Source: llama.cpp's conversion/*.py for names and layouts, its src/models/*.cpp for what it computes.
 */

import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { isMissing } from "../base/json-file.ts";
import { rotaryFrequencies } from "../onnx/rotary.ts";
import { ChatTemplate } from "../text/chat-template.ts";
import { Checkpoint } from "./checkpoint.ts";
import type { ModelConfig } from "./config.ts";
import { toFloat16 } from "./float16.ts";
import { type GgufTensor, type GgufValue, writeGguf } from "./gguf-file.ts";
import { ggufVocabulary } from "./gguf-vocabulary.ts";

interface Target {
  /** `general.architecture`, and the first part of its settings' names. */
  readonly name: string;
  /** Rotates neighbours (2i, 2i + 1), where checkpoints keep each head's halves apart. */
  readonly rotatesNeighbours: boolean;
  /** Biases that it adds. */
  readonly biases: "any" | "qkv" | "none";
  /** Reads `rope_freqs.weight`. */
  readonly readsFrequencies: boolean;
}

const llama: Target = {
  name: "llama",
  rotatesNeighbours: true,
  biases: "any",
  readsFrequencies: true,
};
/** By `model_type`. */
const targets: ReadonlyMap<string, Target> = new Map(
  Object.entries({
    llama,
    mistral: llama,
    qwen2: { name: "qwen2", rotatesNeighbours: false, biases: "qkv", readsFrequencies: false },
    qwen3: { name: "qwen3", rotatesNeighbours: false, biases: "none", readsFrequencies: false },
  } as const),
);

export const ggufTypes = ["f32", "f16"] as const;
export type GgufType = (typeof ggufTypes)[number];

/**
 * @param type of the matrices; vectors are float32 in either case.
 * @throws GatewayError checkpoint_invalid, architecture_unsupported; invalid_request when the file exists;
 * export_failed when it cannot be written.
 */
export async function exportGguf(folder: string, path: string, type: GgufType): Promise<void> {
  await refuseExisting(path);
  const checkpoint = await Checkpoint.open(folder);
  const { config } = checkpoint;
  const target = targetOf(folder, config);
  const template = await ChatTemplate.load(folder);
  const metadata = new Map([
    ...settings(basename(folder), config, target, type),
    ...(await ggufVocabulary(folder, config, template?.source ?? null)),
  ]);
  const tensors = new Map(
    checkpoint.names.map((name) => [ggufName(name), tensorOf(checkpoint, name, target, type)]),
  );
  const factors = frequencyFactors(config);
  if (factors) {
    const data = () => bytesOf(factors);
    tensors.set("rope_freqs.weight", { type: "F32", shape: [factors.length], data });
  }
  try {
    await writeGguf(path, metadata, tensors);
  } catch (cause) {
    if (!(cause instanceof Error && "syscall" in cause)) throw cause;
    throw new GatewayError("export_failed", { path, problem: cause.message }, { cause });
  }
}

async function refuseExisting(path: string): Promise<void> {
  try {
    await stat(path);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  const problem = `${path} exists; name another file, or remove it`;
  throw new GatewayError("invalid_request", { param: "--out", problem });
}

function targetOf(path: string, config: ModelConfig): Target {
  const type = String(config.files.config["model_type"]);
  const target = targets.get(type);
  if (!target || config.task !== "generation") {
    const architecture = `${String(config.files.config["architectures"])} (for GGUF)`;
    const known = [...targets.keys()].map((name) => `${name} models that generate`);
    throw new GatewayError("architecture_unsupported", { path, architecture, known });
  }
  const problem = difference(config, target);
  if (problem === null) return target;
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `llama.cpp's '${target.name}' ${problem}`,
    remedy: "Export it as ONNX, or serve it here.",
  });
}

/** What llama.cpp would compute in another way; null when nothing. */
function difference(config: ModelConfig, target: Target): string | null {
  const { attention, qkvBias, outputBias, mlpBias } = config;
  if (attention.some(({ window }) => window !== null && window < config.contextTokens))
    return "has no sliding windows";
  if (new Set(attention.map(({ rotary }) => JSON.stringify(rotary))).size > 1)
    return "turns all layers by the same angles";
  if (target.biases !== "any" && (outputBias || mlpBias || (target.biases === "none" && qkvBias)))
    return "has no such biases";
  const scaling = attention[0]!.rotary?.scaling ?? null;
  if (scaling?.type === "yarn") return "scales attention under YaRN in its own way";
  if (scaling?.type === "llama3" && !target.readsFrequencies)
    return "has no rope_scaling of type llama3";
  return null;
}

function settings(
  name: string,
  config: ModelConfig,
  target: Target,
  type: GgufType,
): Map<string, GgufValue> {
  const { theta, scaling } = config.attention[0]!.rotary!; // every target rotates
  const numbers = {
    vocab_size: config.vocabSize,
    context_length: config.contextTokens,
    embedding_length: config.hiddenSize,
    block_count: config.layers,
    feed_forward_length: config.intermediateSize,
    "attention.head_count": config.heads,
    "attention.head_count_kv": config.kvHeads,
    "attention.key_length": config.headDim,
    "attention.value_length": config.headDim,
    "rope.dimension_count": config.headDim,
  };
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: target.name }],
    ["general.type", { type: "string", value: "model" }],
    ["general.name", { type: "string", value: name }],
    ["general.file_type", { type: "uint32", value: type === "f16" ? 1 : 0 }], // llama.cpp's ftype
  ]);
  const set = (key: string, value: GgufValue) => metadata.set(`${target.name}.${key}`, value);
  for (const [key, value] of Object.entries(numbers)) set(key, { type: "uint32", value });
  set("attention.layer_norm_rms_epsilon", { type: "float32", value: config.normEpsilon });
  set("rope.freq_base", { type: "float32", value: theta });
  if (scaling?.type === "linear") {
    set("rope.scaling.type", { type: "string", value: "linear" });
    set("rope.scaling.factor", { type: "float32", value: scaling.factor });
  }
  return metadata;
}

/** What llama.cpp divides each frequency by, for Llama 3's long contexts; null where it divides by nothing. */
function frequencyFactors({ attention, headDim }: ModelConfig): Float32Array | null {
  const { rotary } = attention[0]!;
  if (rotary?.scaling?.type !== "llama3") return null;
  const scaled = rotaryFrequencies(headDim, rotary);
  const plain = rotaryFrequencies(headDim, { ...rotary, scaling: null });
  return Float32Array.from(plain, (frequency, i) => frequency / scaled[i]!);
}

const outer: Readonly<Record<string, string>> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};
const inner: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/** "model.layers.3.mlp.up_proj.weight" → "blk.3.ffn_up.weight". */
function ggufName(name: string): string {
  const [, module, kind] = /^(.+)\.(weight|bias)$/.exec(name)!;
  const [, layer, part] = /^model\.layers\.(\d+)\.(.+)$/.exec(module!) ?? [];
  return layer ? `blk.${layer}.${inner[part!]}.${kind}` : `${outer[module!]}.${kind}`;
}

function tensorOf(
  checkpoint: Checkpoint,
  name: string,
  target: Target,
  type: GgufType,
): GgufTensor {
  const { shape } = checkpoint.stored(name);
  const { heads, kvHeads } = checkpoint.config;
  const rotated = target.rotatesNeighbours ? /\.(q|k)_proj\.(weight|bias)$/.exec(name)?.[1] : null;
  const isHalf = type === "f16" && shape.length > 1;
  const data = () => {
    const { data: values } = checkpoint.weight(name);
    const ordered = rotated
      ? neighbours(values, shape[0]!, rotated === "q" ? heads : kvHeads)
      : values;
    return bytesOf(isHalf ? toFloat16(ordered) : ordered);
  };
  return { type: isHalf ? "F16" : "F32", shape, data };
}

/** Rows 0…d/2−1 and d/2…d−1 of each head, d rows, dealt out in turn: row i + s·d/2 becomes row 2i + s. */
function neighbours(values: Float32Array, rows: number, heads: number): Float32Array {
  const dealt = new Float32Array(values.length);
  const width = values.length / rows;
  const half = rows / heads / 2;
  for (let head = 0; head < rows; head += 2 * half) {
    for (let i = 0; i < half; i++) {
      for (const side of [0, 1]) {
        const from = (head + i + side * half) * width;
        dealt.set(values.subarray(from, from + width), (head + 2 * i + side) * width);
      }
    }
  }
  return dealt;
}

function bytesOf(data: Float32Array | Uint16Array): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
