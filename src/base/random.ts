/** Seeded, splittable randomness: the same seed gives the same numbers on every machine. */
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

export interface Uniforms {
  /** Uniform in [0, 1), 53 bits. */
  uniform(): number;
}

export interface Random extends Uniforms {
  /** Uniform integer in [0, n). */
  integer(n: number): number;
  /** Standard normal. */
  normal(): number;
}

export function createRandom(seed: number): Random {
  const generator = xoroshiro128plus(mix(seed));
  const bits = (n: number) => generator.next() >>> (32 - n);
  const uniform = () => (bits(26) * 2 ** 27 + bits(27)) / 2 ** 53;
  return {
    uniform,
    integer: (n) => Math.floor(uniform() * n),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  };
}

/** A seed of its own for the `index`-th part of a seeded whole: candidates, rows, workers. */
export function splitSeed(seed: number, index: number): number {
  return mix(mix(seed) ^ Math.imul(index + 1, 0x9e3779b1));
}

/** For requests that bring no seed; the drawn one is reported and logged. */
export function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! >>> 1;
}

/** Avalanche of a 53-bit integer to 32 bits: neighbouring seeds give unrelated streams. */
function mix(seed: number): number {
  let h = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32) | 0, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x21f0aaad);
  h = Math.imul(h ^ (h >>> 15), 0x735a2d97);
  return (h ^ (h >>> 15)) | 0;
}
