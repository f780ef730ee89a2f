/**
 * What a foreign decoder takes and gives, read from the names, types and sizes of its inputs and outputs: the layout of
 * Hugging Face's ONNX exports in its usual variants.
 * Source: github.com/huggingface/optimum, docs/source/exporters/onnx; github.com/huggingface/transformers.js, src/models.
 */
import { GatewayError } from "../../base/errors.ts";
import type { DType } from "../../onnx/dtype.ts";
import type { ValueInfo } from "../../onnx/runtime/index.ts";

export interface DecoderLayout {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly cacheType: CacheType;
  readonly logitsType: CacheType;
  /** null: the file leaves it open. */
  readonly vocabSize: number | null;
  readonly takesPositions: boolean;
  /** Shape of `num_logits_to_keep`; null where there is none, and the logits of all tokens are computed. */
  readonly keptShape: readonly number[] | null;
  /** Keys and values of each layer, alternating. */
  readonly pastNames: readonly string[];
  readonly presentNames: readonly string[];
}

export type CacheType = "float32" | "float16";

interface Sides {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
}

const KNOWN_INPUTS = [
  "input_ids",
  "attention_mask",
  "position_ids",
  "num_logits_to_keep",
  "past_key_values.<layer>.key",
  "past_key_values.<layer>.value",
];

/**
 * @param path says in errors which file it is.
 * @throws GatewayError checkpoint_invalid for an input that is not known, one that is missing, or sizes that do not fit.
 */
export function decoderLayout(path: string, { inputs, outputs }: Sides): DecoderLayout {
  const refuse = (problem: string, remedy = "Export it as text-generation-with-past."): never => {
    throw new GatewayError("checkpoint_invalid", { path, problem, remedy });
  };
  const input = new Map(inputs.map((info) => [info.name, info]));
  const output = new Map(outputs.map((info) => [info.name, info]));
  const stray = [...input.keys()].filter((name) => !isKnown(name));
  if (stray.length > 0) {
    const known = `Known are ${KNOWN_INPUTS.join(", ")}.`;
    refuse(`it wants inputs that nothing here can give: ${stray.join(", ")}`, known);
  }
  for (const name of ["input_ids", "attention_mask"]) {
    if (!input.has(name)) refuse(`it has no input ${name}`);
  }
  const logits = output.get("logits") ?? refuse("it has no output logits");
  const past = [...input.values()].filter(({ name }) => name.startsWith("past_key_values."));
  const layers = past.length / 2;
  const names = (prefix: string) =>
    Array.from({ length: Math.ceil(layers) }, (_, layer) => [
      `${prefix}.${layer}.key`,
      `${prefix}.${layer}.value`,
    ]).flat();
  const missing = [
    ...names("past_key_values").filter((name) => !input.has(name)),
    ...names("present").filter((name) => !output.has(name)),
  ];
  if (layers === 0) refuse("it has no inputs past_key_values.<layer>.key and .value");
  if (missing.length > 0) refuse(`it lacks ${missing.join(", ")}`);
  for (const name of ["input_ids", "attention_mask", "position_ids", "num_logits_to_keep"]) {
    const info = input.get(name);
    if (info && info.dtype !== "int64") refuse(`its ${name} is ${info.dtype} instead of int64`);
  }
  const kept = input.get("num_logits_to_keep");
  return {
    ...cacheSizes(past, refuse),
    layers,
    logitsType: float(logits, refuse),
    vocabSize: fixed(logits.shape[2]),
    takesPositions: input.has("position_ids"),
    keptShape: kept ? kept.shape.map(() => 1) : null,
    pastNames: names("past_key_values"),
    presentNames: names("present"),
  };
}

type Refuse = (problem: string, remedy?: string) => never;

const isKnown = (name: string) =>
  KNOWN_INPUTS.includes(name) || /^past_key_values\.\d+\.(key|value)$/.test(name);

/** Keys and values of all layers must be [batch, heads, tokens, size] of one type, with heads and size the same. */
function cacheSizes(past: readonly ValueInfo[], refuse: Refuse) {
  const first = past[0]!;
  const [kvHeads, headDim] = [fixed(first.shape[1]), fixed(first.shape[3])];
  for (const { name, shape, dtype } of past) {
    const fits = shape.length === 4 && shape[1] === kvHeads && shape[3] === headDim;
    if (fits && dtype === first.dtype) continue;
    const wanted = `${first.dtype} [batch, ${kvHeads ?? "heads"}, tokens, ${headDim ?? "size"}]`;
    refuse(
      `its ${name} is ${dtype} [${shape.join(", ")}] instead of ${wanted}`,
      "Caches of other shapes are not served.",
    );
  }
  // Every shape was like the first one's, so both are numbers.
  return { kvHeads: kvHeads!, headDim: headDim!, cacheType: float(first, refuse) };
}

function float({ name, dtype }: ValueInfo, refuse: Refuse): CacheType {
  if (dtype === "float32" || dtype === "float16") return dtype;
  return refuse(`its ${name} is ${dtype satisfies DType}; float32 and float16 are served`);
}

const fixed = (size: number | string | undefined) => (typeof size === "number" ? size : null);
