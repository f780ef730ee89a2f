/** How a served graph takes its weights: whole or in few bits, with the products of adapters added. */
import type { Graph } from "./graph.ts";
import { type Bits, BLOCK, isQuantizable, quantizedShapes } from "./quantize.ts";
import { sharedWeights, type Weights, wholeWeights } from "./transformer.ts";

export interface ServingGraphOptions {
  readonly format?: NumberFormat | undefined;
  /** Modules that adapters add to. */
  readonly adapted?: readonly string[];
}

/**
 * With adapted modules, the ranks of all adapters stand side by side as columns: for each module inputs
 * `<module>.lora_a` [rank, in] and `<module>.lora_b` [rank, out], and adapter_columns [rows_all, rank], 1 where
 * a row's adapter has the column and 0 elsewhere. A row without adapter gets exactly what it gets without any.
 */
export function servedWeights(
  g: Graph,
  { format = "float32", adapted = [] }: ServingGraphOptions,
): Weights {
  return withAdapters(g, heldWeights(g, format), new Set(adapted));
}

/** y + ((x·Aᵀ) ⊙ columns)·B for the adapted modules. Source: Hu et al., arXiv:2106.09685. */
function withAdapters(g: Graph, weights: Weights, adapted: ReadonlySet<string>): Weights {
  if (adapted.size === 0) return weights;
  const columns = g.input("adapter_columns", "float32", ["rows_all", "rank"]);
  const product: Weights["product"] = (x, name, outputs) => {
    const y = weights.product(x, name, outputs);
    if (!adapted.has(name)) return y;
    const a = g.input(`${name}.lora_a`, "float32", ["rank", Number(x.shape[1])]);
    const b = g.input(`${name}.lora_b`, "float32", ["rank", outputs]);
    const low = g.mul(g.matmul(x, a, { transB: true }), columns);
    return g.add(y, g.matmul(low, b));
  };
  return { tensor: weights.tensor, product };
}

/** How matrices are held while serving; everything else is float32. */
export type NumberFormat = "float32" | "int8" | "int4";

/** The output matrix is held in 8 bits at least: its errors reach the probabilities undamped. */
function bitsOf(format: NumberFormat, name: string): Bits {
  return format === "int4" && name !== "lm_head" && name !== "model.embed_tokens" ? 4 : 8;
}

function heldWeights(g: Graph, format: NumberFormat): Weights {
  const whole = wholeWeights(g, sharedWeights(g));
  if (format === "float32") return whole;
  const product: Weights["product"] = (x, name, outputs) => {
    const inputs = Number(x.shape[1]);
    if (!isQuantizable(inputs)) return whole.product(x, name, outputs);
    const bits = bitsOf(format, name);
    const shapes = quantizedShapes(outputs, inputs, bits);
    const part = (key: "packed" | "scales" | "zeros") =>
      g.weight(
        `${name}.weight.${bits}bit.${key}`,
        key === "scales" ? "float32" : "uint8",
        shapes[key],
      );
    return g.op("MatMulNBits", [x, part("packed"), part("scales"), part("zeros")], {
      K: inputs,
      N: outputs,
      bits,
      block_size: BLOCK,
      accuracy_level: 4,
    });
  };
  return { tensor: whole.tensor, product };
}
