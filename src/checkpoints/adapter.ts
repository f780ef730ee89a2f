/**
 * LoRA adapters as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`. What they add to a
 * matrix W is scale · B·A. A setting that would change the numbers and is not implemented is refused by name.
 * Source: Hu et al., arXiv:2106.09685; scale α/r, or α/√r where `use_rslora` says so (Kalajdzievski, arXiv:2312.03732).
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { readCheckpointJson } from "../base/json-file.ts";
import { isSameShape } from "./checkpoint.ts";
import type { ModelConfig, Task } from "./config.ts";
import { nullable } from "./families.ts";
import { readSafetensors, type StoredTensor, toFloat32 } from "./safetensors.ts";
import { weightShapes } from "./weight-shapes.ts";

/** The matrices of a layer that can be adapted: all of them. */
export const loraModules = [
  "q_proj",
  "k_proj",
  "v_proj",
  "o_proj",
  "gate_proj",
  "up_proj",
  "down_proj",
] as const;

/** What an adapter is made with, before it is trained. */
export interface LoraSettings {
  readonly rank: number;
  readonly alpha: number;
  /** α is divided by √rank instead of rank, so that large ranks learn as fast as small ones. */
  readonly isRankStabilized: boolean;
  readonly modules: readonly (typeof loraModules)[number][];
}

/** What B·A is multiplied by. */
export function loraScale(
  { alpha, isRankStabilized }: Pick<LoraSettings, "alpha" | "isRankStabilized">,
  rank: number,
): number {
  return alpha / (isRankStabilized ? Math.sqrt(rank) : rank);
}

export interface LoraMatrix {
  readonly rank: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly scale: number;
  /** A: [rank, inputs]. */
  readonly a: Float32Array;
  /** B: [outputs, rank]. */
  readonly b: Float32Array;
}

export interface LoraAdapter {
  /** The first 12 hexadecimal digits of the SHA-256 of its tensors and settings. */
  readonly revision: string;
  /** By the module they add to, "model.layers.0.self_attn.q_proj". */
  readonly matrices: ReadonlyMap<string, LoraMatrix>;
  /** Of a model of scores: the weights of its head, which take the place of the base's. */
  readonly head?: ReadonlyMap<string, Float32Array>;
}

/** What PEFT puts in front of every name of the model. */
export const WRAPPED = "base_model.model.";

const patterns = nullable(Type.Record(Type.String(), Type.Number({ exclusiveMinimum: 0 })));

const AdapterConfig = Type.Object({
  peft_type: Type.String(),
  r: Type.Integer({ minimum: 1 }),
  lora_alpha: Type.Number({ exclusiveMinimum: 0 }),
  use_rslora: nullable(Type.Boolean()),
  alpha_pattern: patterns,
});
type AdapterConfig = Static<typeof AdapterConfig>;

/** Modules that PEFT's adapters of sequence classifiers always hold whole; a model has one of them. */
const HEADS: readonly unknown[] = ["classifier", "score"];

/** Keys whose other values would change the numbers → the values implemented; an absent key is one of them. */
const implemented: Readonly<Record<string, (value: unknown, base: ModelConfig) => boolean>> = {
  peft_type: (value) => value === "LORA",
  use_dora: (value) => value === false,
  fan_in_fan_out: (value) => value === false,
  lora_bias: (value) => value === false,
  bias: (value) => value === "none",
  modules_to_save: (value, { task }) =>
    Array.isArray(value) &&
    (value.length === 0 || (hasHead(task) && value.every((each) => HEADS.includes(each)))),
  trainable_token_indices: () => false,
  layer_replication: () => false,
  use_qalora: (value) => value === false,
};

/**
 * @param base the model it is for.
 * @throws GatewayError checkpoint_invalid for a missing or faulty file, a setting not implemented, or an
 * adapter of another model.
 */
export async function readAdapter(folder: string, base: ModelConfig): Promise<LoraAdapter> {
  const path = join(folder, "adapter_config.json");
  const config = await readCheckpointJson(path, AdapterConfig);
  for (const [key, isImplemented] of Object.entries(implemented)) {
    const value: unknown = (config as Record<string, unknown>)[key]; // keys the schema does not name are kept
    if (value === undefined || value === null || isImplemented(value, base)) continue;
    const problem = `'${key}' is ${JSON.stringify(value)}, which is not implemented`;
    throw invalid(path, problem, "Merge the adapter into its model, or train it without.");
  }
  const file = join(folder, "adapter_model.safetensors");
  const tensors = await readSafetensors(file);
  const shapes = weightShapes(base);
  const matrices = new Map<string, LoraMatrix>();
  const head = new Map<string, Float32Array>();
  for (const [name, tensor] of tensors) {
    const module = moduleOf(name);
    if (module === null) {
      const own = headName(name, tensor, shapes);
      if (own && hasHead(base.task)) {
        head.set(own, toFloat32(tensor));
        continue;
      }
      throw invalid(file, `'${name}' is not a part of LoRA`, "Merge the adapter into its model.");
    }
    if (matrices.has(module)) continue;
    matrices.set(module, matrixOf(file, module, tensors, shapes.get(`${module}.weight`), config));
  }
  const hash = createHash("sha256").update(JSON.stringify(config));
  for (const [name, { data }] of [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hash.update(name).update(data);
  }
  const revision = hash.digest("hex").slice(0, 12);
  return { revision, matrices, ...(head.size > 0 && { head }) };
}

const hasHead = (task: Task) => task !== "generation";

/** "base_model.model.score.weight" → "score.weight", when the model has such a weight; else null. */
function headName(
  name: string,
  { shape }: StoredTensor,
  shapes: ReadonlyMap<string, readonly number[]>,
): string | null {
  const own = name.startsWith(WRAPPED) ? name.slice(WRAPPED.length) : "";
  const wanted = own.startsWith("score.") ? shapes.get(own) : undefined;
  return wanted && isSameShape(shape, wanted) ? own : null;
}

/** "base_model.model.<module>.lora_A.weight" → the module; null for any other name. */
function moduleOf(name: string): string | null {
  const match = /^base_model\.model\.(.+)\.lora_[AB]\.weight$/.exec(name);
  return match ? match[1]! : null;
}

const ADAPTABLE = /^model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)$/;

function matrixOf(
  file: string,
  module: string,
  tensors: ReadonlyMap<string, StoredTensor>,
  shape: readonly number[] | undefined,
  config: AdapterConfig,
): LoraMatrix {
  if (!shape || !ADAPTABLE.test(module)) {
    const problem = shape
      ? `it adapts '${module}'; supported are the projections of the layers`
      : `it adapts '${module}', which the model does not have`;
    throw invalid(file, problem, "Load it with the model it was trained on.");
  }
  const [a, b] = ["A", "B"].map((side) => tensors.get(`${WRAPPED}${module}.lora_${side}.weight`));
  if (!a || !b) throw invalid(file, `'${module}' lacks one of A and B`, "Export it again.");
  const [outputs, inputs] = shape as [number, number]; // a projection's
  const rank = a.shape[0]!;
  if (!isSameShape(a.shape, [rank, inputs]) || !isSameShape(b.shape, [outputs, rank])) {
    const problem = `'${module}' has A [${a.shape.join()}] and B [${b.shape.join()}] for a matrix of [${outputs},${inputs}]`;
    throw invalid(file, problem, "Load it with the model it was trained on.");
  }
  const alpha = alphaOf(module, config);
  const scale = loraScale({ alpha, isRankStabilized: config.use_rslora ?? false }, rank);
  return { rank, inputs, outputs, scale, a: toFloat32(a), b: toFloat32(b) };
}

/** A pattern is a module's name or its end, as PEFT reads it. */
function alphaOf(module: string, { lora_alpha: alpha, alpha_pattern: exceptions }: AdapterConfig) {
  const found = Object.entries(exceptions ?? {}).find(([pattern]) =>
    new RegExp(`(.*\\.)?(${pattern})$`).test(module),
  );
  return found ? found[1] : alpha;
}

function invalid(path: string, problem: string, remedy: string): GatewayError {
  return new GatewayError("checkpoint_invalid", { path, problem, remedy });
}
