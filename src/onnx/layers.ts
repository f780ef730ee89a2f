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
  if (x.dtype !== "float64") return g.op("RMSNormalization", [x, scale], { epsilon });
  const meanSquare = g.mean(g.mul(x, x), -1, true);
  const r = g.reciprocal(g.sqrt(g.add(meanSquare, g.scalar(epsilon, x.dtype))));
  return g.mul(g.mul(x, r), scale);
}

/** x·σ(x). */
export function silu(g: Graph, x: Value): Value {
  return g.mul(x, g.sigmoid(x));
}

/** ½x(1 + tanh(√(2/π)(x + 0.044715x³))). Source: Hendrycks & Gimpel, arXiv:1606.08415, section 2. */
export function geluTanh(g: Graph, x: Value): Value {
  const cube = g.mul(x, g.mul(x, x));
  const inner = g.scale(g.add(x, g.scale(cube, 0.044715)), Math.sqrt(2 / Math.PI));
  return g.mul(g.scale(x, 0.5), g.add(g.tanh(inner), g.scalar(1, x.dtype)));
}

/** activation(gate) ⊙ up, between the projections of a feed-forward block. Source: Shazeer, arXiv:2002.05202. */
export function gated(g: Graph, activation: Activation, gate: Value, up: Value): Value {
  return g.mul(activation === "silu" ? silu(g, gate) : geluTanh(g, gate), up);
}

export type Activation = "silu" | "gelu-tanh";

/** cap·tanh(x/cap): near x for small ones, never beyond ±cap. Source: Gemma 2, arXiv:2408.00118, section 2. */
export function softcap(g: Graph, x: Value, cap: number | null): Value {
  return cap === null ? x : g.scale(g.tanh(g.scale(x, 1 / cap)), cap);
}

export interface AttentionSizes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly attentionScale: number;
  readonly attentionSoftcap: number | null;
}

/**
 * Grouped-query attention spelled out, for training: softmax(softcap(scale·q·kᵀ) + mask)·v.
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
  sizes: AttentionSizes,
): Value {
  const { heads, kvHeads, headDim } = sizes;
  const [batch, tokens] = [q.shape[0]!, q.shape[1]!];
  const grouped = (x: Value, group: number) =>
    g.transpose(g.reshape(x, [batch, tokens, kvHeads, group, headDim]), [0, 2, 3, 1, 4]);
  const group = heads / kvHeads;
  const scores = g.matmul(grouped(q, group), grouped(k, 1), {
    transB: true,
    alpha: sizes.attentionScale,
  });
  const capped = softcap(g, scores, sizes.attentionSoftcap);
  const weights = g.softmax(g.add(capped, mask)); // [batch, kvHeads, group, tokens, tokens]
  const mixed = g.matmul(weights, grouped(v, 1)); // [batch, kvHeads, group, tokens, headDim]
  return g.reshape(g.transpose(mixed, [0, 3, 1, 2, 4]), [batch, tokens, heads, headDim]);
}

/** Additive mask of packed rows: a token sees itself and earlier tokens of its own segment, the last `window` if given. */
export function segmentMask(
  g: Graph,
  segments: Value,
  positions: Value,
  window: number | null = null,
): Value {
  const [batch, tokens] = segments.shape;
  const column = (x: Value) => g.reshape(x, [batch!, 1, 1, tokens!, 1]);
  const row = (x: Value) => g.reshape(x, [batch!, 1, 1, 1, tokens!]);
  const earlier = g.and(
    g.equal(column(segments), row(segments)),
    g.lessOrEqual(row(positions), column(positions)),
  );
  const visible =
    window === null
      ? earlier
      : g.and(earlier, g.less(g.sub(column(positions), row(positions)), ofInt64(g, window)));
  return g.where(visible, g.scalar(0), g.scalar(-1e9)); // finite: a row never sees nothing, it sees itself
}

function ofInt64(g: Graph, number: number): Value {
  return g.reshape(g.ints([number]), []);
}
