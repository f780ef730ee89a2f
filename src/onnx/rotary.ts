/**
 * Rotary position embeddings: which angles turn queries and keys at each position, and how long-context
 * models stretch them.
 * Source: Su et al., arXiv:2104.09864; halves rotated as in Llama (dimension i pairs with i + headDim/2).
 */

export interface Rotary {
  readonly theta: number;
  readonly scaling: RotaryScaling | null;
}

export type RotaryScaling =
  /** Every frequency divided by the factor. */
  | { readonly type: "linear"; readonly factor: number }
  /** Llama 3.1: long wavelengths divided, short ones kept, smooth between. */
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    }
  /** Peng et al., arXiv:2309.00071: a ramp over dimensions; the tables are multiplied by `attentionFactor`. */
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly originalContext: number;
      readonly attentionFactor: number;
      readonly truncate: boolean;
    };

/** cos and sin of position·frequency, each [positions, headDim/2] row-major, computed in double. */
export function rotaryTables(positions: number, headDim: number, rotary: Rotary) {
  const frequencies = rotaryFrequencies(headDim, rotary);
  const half = frequencies.length;
  const size = rotary.scaling?.type === "yarn" ? rotary.scaling.attentionFactor : 1;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let i = 0; i < half; i++) {
      const angle = position * frequencies[i]!;
      cos[position * half + i] = size * Math.cos(angle);
      sin[position * half + i] = size * Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** θ^(−2i/headDim) for each pair of dimensions, scaled. */
export function rotaryFrequencies(headDim: number, { theta, scaling }: Rotary): number[] {
  const plain = Array.from({ length: headDim / 2 }, (_, i) => theta ** ((-2 * i) / headDim));
  switch (scaling?.type) {
    case undefined:
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "llama3":
      return plain.map((frequency) => llama3(frequency, scaling));
    case "yarn": {
      const keep = yarnShares(headDim, theta, scaling);
      return plain.map((f, i) => f * keep[i]! + (f / scaling.factor) * (1 - keep[i]!));
    }
  }
}

type Scaling<T extends RotaryScaling["type"]> = Extract<RotaryScaling, { type: T }>;

function llama3(frequency: number, s: Scaling<"llama3">): number {
  const turns = (s.originalContext * frequency) / (2 * Math.PI); // within the original context
  const share = (turns - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
  const keep = Math.min(1, Math.max(0, share));
  return frequency * keep + (frequency / s.factor) * (1 - keep);
}

/** How much of each frequency is kept: 1 for those that turn often within the original context, 0 for slow ones. */
function yarnShares(headDim: number, theta: number, s: Scaling<"yarn">): number[] {
  const dimensionOf = (turns: number) =>
    (headDim * Math.log(s.originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [low, high] = [dimensionOf(s.betaFast), dimensionOf(s.betaSlow)];
  const first = Math.max(0, s.truncate ? Math.floor(low) : low);
  const last = Math.min(headDim - 1, s.truncate ? Math.ceil(high) : high);
  const width = first === last ? 0.001 : last - first;
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const ramp = Math.min(1, Math.max(0, (i - first) / width));
    return 1 - ramp;
  });
}
