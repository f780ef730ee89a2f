/** Optimisers, clipping and schedules as graph nodes: (weights, moments, gradients, step) → the next ones. */
import type { Graph, Value } from "./graph.ts";

/** Learning rate as a function of the step number, 1, 2, … (a float32 scalar). */
export type Schedule = (g: Graph, step: Value) => Value;

/** Linear from 0 to `peak` over `warmup` steps, then half a cosine down to `floor`·peak at `steps`. */
export function cosineSchedule(peak: number, warmup: number, steps: number, floor = 0.1): Schedule {
  return (g, step) => {
    const rising = g.scale(step, 1 / Math.max(1, warmup));
    const after = g.max(g.scalar(0), g.sub(step, g.scalar(warmup)));
    const progress = g.min(g.scalar(1), g.scale(after, 1 / Math.max(1, steps - warmup)));
    const fallen = g.scale(g.sub(g.scalar(1), g.cos(g.scale(progress, Math.PI))), (1 - floor) / 2);
    const falling = g.sub(g.scalar(1), fallen);
    return g.scale(g.min(rising, falling), peak);
  };
}

/** Linear from 0 to `peak` over `warmup` steps, then linear down to `floor`·peak at `steps`. */
export function linearSchedule(peak: number, warmup: number, steps: number, floor = 0): Schedule {
  return (g, step) => {
    const rising = g.scale(step, 1 / Math.max(1, warmup));
    const after = g.max(g.scalar(0), g.sub(step, g.scalar(warmup)));
    const progress = g.min(g.scalar(1), g.scale(after, 1 / Math.max(1, steps - warmup)));
    const falling = g.sub(g.scalar(1), g.scale(progress, 1 - floor));
    return g.scale(g.min(rising, falling), peak);
  };
}

/** Linear from 0 to `peak` over `warmup` steps, and `peak` from there on. */
export const constantSchedule = (peak: number, warmup: number): Schedule =>
  linearSchedule(peak, warmup, Number.MAX_SAFE_INTEGER, 1);

export interface AdamOptions {
  readonly schedule: Schedule;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** Decoupled, applied to parameters with `decay`. */
  readonly weightDecay?: number;
  /** Gradients are scaled down together so that their global norm does not exceed this. */
  readonly clipNorm?: number;
}

export interface Parameter {
  readonly weight: Value;
  readonly gradient: Value;
  readonly first: Value;
  readonly second: Value;
  readonly decay: boolean;
}

export interface AdamStep {
  /** Per parameter, in order. */
  readonly updated: readonly { weight: Value; first: Value; second: Value }[];
  readonly learningRate: Value;
}

/**
 * AdamW: m' = β₁m + (1−β₁)g, v' = β₂v + (1−β₂)g², w' = w − η·(m̂/(√v̂ + ε) + λw),
 * m̂ = m'/(1−β₁ᵗ), v̂ = v'/(1−β₂ᵗ).
 * @param gradientNorm `globalNorm` of all gradients together, which decides how far they are scaled down.
 * Source: Kingma & Ba, arXiv:1412.6980, alg. 1; decoupled decay: Loshchilov & Hutter, arXiv:1711.05101.
 */
export function adamW(
  g: Graph,
  parameters: readonly Parameter[],
  { step, gradientNorm }: { readonly step: Value; readonly gradientNorm: Value },
  options: AdamOptions,
): AdamStep {
  const { beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weightDecay = 0.1, clipNorm = 1 } = options;
  const learningRate = options.schedule(g, step);
  const shrink = g.min(g.scalar(1), g.div(g.scalar(clipNorm), g.add(gradientNorm, g.scalar(1e-6))));
  const correction = (beta: number) => g.sub(g.scalar(1), g.exp(g.scale(step, Math.log(beta))));
  const rate = g.div(learningRate, correction(beta1));
  const rootCorrection = g.reciprocal(g.sqrt(correction(beta2)));
  const keep = g.sub(g.scalar(1), g.scale(learningRate, weightDecay));
  const updated = parameters.map(({ weight, gradient, first, second, decay }) => {
    const clipped = g.mul(gradient, shrink);
    const m = g.add(g.scale(first, beta1), g.scale(clipped, 1 - beta1));
    const v = g.add(g.scale(second, beta2), g.scale(g.mul(clipped, clipped), 1 - beta2));
    const denominator = g.add(g.mul(g.sqrt(v), rootCorrection), g.scalar(epsilon));
    const base = decay ? g.mul(weight, keep) : weight;
    return { weight: g.sub(base, g.mul(rate, g.div(m, denominator))), first: m, second: v };
  });
  return { updated, learningRate };
}

/** √(Σ over all gradients of Σ x²). */
export function globalNorm(g: Graph, gradients: readonly Value[]): Value {
  const squares = gradients.map((gradient) => g.sum(g.mul(gradient, gradient)));
  return g.sqrt(squares.reduce((sum, square) => g.add(sum, square)));
}
