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
    writesIntoResidual(name) ? 0.02 / Math.sqrt(2 * layers) : 0.02;
  const values = (name: string, shape: readonly number[]) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    if (name === "score.weight" || name.endsWith(".bias")) return data;
    if (shape.length === 1) return data.fill(1);
    const scale = deviation(name);
    return data.map(() => scale * random.normal());
  };
  return new Map([...shapes].map(([name, shape]) => [name, values(name, shape)]));
}

/**
 * More layers for a trained body: those that it lacks are drawn anew but write nothing into the residual
 * stream yet, so that the deeper model computes what the shallower did.
 * Source: Chen et al., arXiv:1511.05641 (Net2Net), section 2.3.
 */
export function deepened(
  trained: ReadonlyMap<string, Float32Array>,
  shapes: ReadonlyMap<string, readonly number[]>,
  random: Random,
): Map<string, Float32Array> {
  const drawn = initialWeights(shapes, 1, random);
  const added = [...drawn].map(([name, values]): [string, Float32Array] =>
    writesIntoResidual(name) ? [name, values.fill(0)] : [name, values],
  );
  return new Map([...added, ...trained]);
}

function writesIntoResidual(name: string): boolean {
  return /(o_proj|down_proj)\.weight$/.test(name);
}
