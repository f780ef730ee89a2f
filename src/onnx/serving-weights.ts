/** How a served graph takes its weights: whole or in few bits, with the products of adapters added. */
import type { Graph, Value } from "./graph.ts";
import { type Bits, BLOCK, isQuantizable, quantizedShapes } from "./quantize.ts";
import type { Provider } from "./runtime/index.ts";
import { sharedWeights, type Weights, wholeWeights } from "./transformer.ts";

export interface ServingGraphOptions {
  readonly format?: NumberFormat | undefined;
  /** What the graph is for; operators are chosen of which its provider has kernels. "cpu" when nothing is said. */
  readonly provider?: Provider | undefined;
  /** Modules that adapters add to. */
  readonly adapted?: readonly string[];
  /** Every matrix by itself, as the checkpoint has it, rather than joined with others of the same inputs. */
  readonly separate?: boolean | undefined;
}

/**
 * With adapted modules, the ranks of all adapters stand side by side as columns: for each module inputs
 * `<module>.lora_a` [rank, in] and `<module>.lora_b` [rank, out], and adapter_columns [rows_all, rank], 1 where
 * a row's adapter has the column and 0 elsewhere. A row without adapter gets exactly what it gets without any.
 */
export function servedWeights(
  g: Graph,
  { format = "float32", provider = "cpu", adapted = [], separate = false }: ServingGraphOptions,
): Weights {
  const held = heldWeights(g, format, provider);
  return withAdapters(g, separate ? held : joined(g, held), new Set(adapted));
}

/**
 * In which type keys and values are held, and attention is computed. CUDA's cached attention has no float32.
 * Source: ONNX Runtime, docs/OperatorKernels.md, GroupQueryAttention.
 */
export function cacheType({ format, provider }: ServingGraphOptions): "float32" | "float16" {
  return format === "float16" || provider === "cuda" ? "float16" : "float32";
}

/** y + ((x·Aᵀ) ⊙ columns)·B for the adapted modules. Source: Hu et al., arXiv:2106.09685. */
function withAdapters(g: Graph, weights: Weights, adapted: ReadonlySet<string>): Weights {
  if (adapted.size === 0) return weights;
  const columns = g.input("adapter_columns", "float32", ["rows_all", "rank"]);
  const adapt = (x: Value, y: Value, name: string, outputs: number) => {
    if (!adapted.has(name)) return y;
    const a = g.input(`${name}.lora_a`, "float32", ["rank", Number(x.shape[1])]);
    const b = g.input(`${name}.lora_b`, "float32", ["rank", outputs]);
    const low = g.mul(weights.times(g.cast(x, "float32"), a), columns);
    return g.add(y, g.cast(g.matmul(low, b), y.dtype));
  };
  return {
    ...weights,
    product: (x, name, outputs) => adapt(x, weights.product(x, name, outputs), name, outputs),
    products: (x, matrices) =>
      weights.products(x, matrices).map((y, i) => {
        const { name, outputs } = matrices[i]!;
        return adapt(x, y, name, outputs);
      }),
  };
}

/** Matrices with the same inputs stand one below the other: one product of many outputs costs less than several. */
function joined(g: Graph, weights: Weights): Weights {
  const products: Weights["products"] = (x, matrices) => {
    const [first] = matrices;
    if (matrices.length === 1) return [weights.product(x, first!.name, first!.outputs)];
    const outputs = matrices.reduce((sum, matrix) => sum + matrix.outputs, 0);
    const all = weights.product(x, joinedName(matrices.map(({ name }) => name)), outputs);
    let end = 0;
    return matrices.map((matrix) => {
      const start = end;
      end += matrix.outputs;
      return g.slice(all, 1, start, end);
    });
  };
  return { ...weights, products };
}

const BELOW = "+";
const joinedName = (names: readonly string[]) => names.join(BELOW);

/** Names of the checkpoint's weights that stand one below the other in a served one. */
export function namesWithin(served: string): readonly string[] {
  const [ending] = /\.[^.]+$/.exec(served)!;
  return served
    .slice(0, -ending.length)
    .split(BELOW)
    .map((name) => name + ending);
}

/** How matrices are held while serving. With float16 everything up to the output is; else what remains is float32. */
export type NumberFormat = "float32" | "float16" | "int8" | "int4";

/** The output matrix is held in 8 bits at least: its errors reach the probabilities undamped. */
function bitsOf(format: NumberFormat, name: string): Bits {
  return format === "int4" && name !== "lm_head" && name !== "model.embed_tokens" ? 4 : 8;
}

function heldWeights(g: Graph, format: NumberFormat, provider: Provider): Weights {
  const type = format === "float16" ? "float16" : "float32";
  // NOTE: WebGPU has no kernel for FusedMatMul: each product would run on the CPU, with copies there and back.
  const gemm: Weights["times"] = (x, matrix: Value) =>
    g.op("Gemm", [x, matrix], { transA: 0, transB: 1 });
  const isPlain = provider === "cpu" && type === "float32";
  const whole = wholeWeights(g, sharedWeights(g, type), isPlain ? undefined : gemm);
  if (format === "float32" || format === "float16") return whole;
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
  return { ...whole, product };
}
