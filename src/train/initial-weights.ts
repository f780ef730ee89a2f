/** Random weights to start from. */
import type { Random } from "../base/random.ts";

/**
 * Norm scales 1; matrices normal with deviation 0.02, those that write into the residual stream divided
 * by √(2·layers) so that its variance does not grow with depth; biases and score heads 0.
 * Source: Radford et al. 2019 (GPT-2), section 2.3.
 */
export function initialWeights(
  shapes: ReadonlyMap<string, readonly number[]>,
  layers: number,
  random: Random,
): Map<string, Float32Array> {
  const deviation = (name: string) =>
    /(o_proj|down_proj)\.weight$/.test(name) ? 0.02 / Math.sqrt(2 * layers) : 0.02;
  const values = (name: string, shape: readonly number[]) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (name === "score.weight" || name.endsWith(".bias")) return data;
    if (shape.length === 1) return data.fill(1);
    const scale = deviation(name);
    return data.map(() => scale * random.normal());
  };
  return new Map([...shapes].map(([name, shape]) => [name, values(name, shape)]));
}
