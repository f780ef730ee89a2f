/** The weights' formula of the scripts in scripts/fixtures/. */
import { sum } from "./naive.ts";

export function formulaWeights(name: string, size: number): Float32Array {
  const n = sum([...Buffer.from(name)]);
  return Float32Array.from({ length: size }, (_, i) => {
    const u = ((7919 * i + 31 * i * i + 104729 * n) % 1009) / 1009 - 0.5;
    return name.endsWith("norm.weight") ? 1 + 0.5 * u : 0.6 * u;
  });
}
