/**
 * The layers of a Llama-style decoder, from graph operators. Activations are flat: one row per token,
 * [rows, size]; only attention knows which rows belong together.
 */
import type { Graph, Value } from "./graph.ts";

/** x·Wᵀ + b: x [rows, in], W [out, in] as Hugging Face stores it, b [out] or none → [rows, out]. */
export function linear(g: Graph, x: Value, weight: Value, bias: Value | null = null): Value {
  const y = g.matmul(x, weight, { transB: true });
  return bias ? g.add(y, bias) : y;
}

/** x / √(mean(x²) + ε) · scale, over the last axis. Source: Zhang & Sennrich, arXiv:1910.07467. */
export function rmsNorm(g: Graph, x: Value, scale: Value, epsilon: number): Value {
  if (x.dtype === "float32") return g.op("RMSNormalization", [x, scale], { epsilon });
  const meanSquare = g.mean(g.mul(x, x), -1, true);
  const r = g.reciprocal(g.sqrt(g.add(meanSquare, g.scalar(epsilon, x.dtype))));
  return g.mul(g.mul(x, r), scale);
}

/** x·σ(x). */
export function silu(g: Graph, x: Value): Value {
  return g.mul(x, g.sigmoid(x));
}

/** silu(gate) ⊙ up, between the projections of a feed-forward block. Source: Shazeer, arXiv:2002.05202. */
export function swiglu(g: Graph, gate: Value, up: Value): Value {
  return g.mul(silu(g, gate), up);
}

/**
 * cos and sin of position·θ^(−2i/headDim), each [positions, headDim/2] row-major, computed in double.
 * Source: Su et al., arXiv:2104.09864; halves rotated as in Llama (dimension i pairs with i + headDim/2).
 */
export function rotaryTables(positions: number, headDim: number, theta: number) {
  const half = headDim / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** ((-2 * i) / headDim);
      cos[position * half + i] = Math.cos(angle);
      sin[position * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

export interface HeadSizes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/**
 * Grouped-query attention spelled out, for training: softmax(q·kᵀ/√headDim + mask)·v.
 * @param q    [batch, tokens, heads, headDim], rotated; k, v [batch, tokens, kvHeads, headDim].
 * @param mask [batch, 1, 1, tokens, tokens], 0 where a query may look and a large negative number elsewhere.
 * @returns    [batch, tokens, heads, headDim]
 * Source: Ainslie et al., arXiv:2305.13245.
 */
export function groupedAttention(
  g: Graph,
  q: Value,
  k: Value,
  v: Value,
  mask: Value,
  sizes: HeadSizes,
): Value {
  const { heads, kvHeads, headDim } = sizes;
  const [batch, tokens] = [q.shape[0]!, q.shape[1]!];
  const grouped = (x: Value, group: number) =>
    g.transpose(g.reshape(x, [batch, tokens, kvHeads, group, headDim]), [0, 2, 3, 1, 4]);
  const group = heads / kvHeads;
  const scores = g.matmul(grouped(q, group), grouped(k, 1), {
    transB: true,
    alpha: headDim ** -0.5,
  });
  const weights = g.softmax(g.add(scores, mask)); // [batch, kvHeads, group, tokens, tokens]
  const mixed = g.matmul(weights, grouped(v, 1)); // [batch, kvHeads, group, tokens, headDim]
  return g.reshape(g.transpose(mixed, [0, 3, 1, 2, 4]), [batch, tokens, heads, headDim]);
}

/** Additive mask of packed rows: a token sees itself and earlier tokens of its own segment. */
export function segmentMask(g: Graph, segments: Value, positions: Value): Value {
  const [batch, tokens] = segments.shape;
  const column = (x: Value) => g.reshape(x, [batch!, 1, 1, tokens!, 1]);
  const row = (x: Value) => g.reshape(x, [batch!, 1, 1, 1, tokens!]);
  const visible = g.and(
    g.equal(column(segments), row(segments)),
    g.lessOrEqual(row(positions), column(positions)),
  );
  return g.where(visible, g.scalar(0), g.scalar(-1e9)); // finite: a row never sees nothing, it sees itself
}
