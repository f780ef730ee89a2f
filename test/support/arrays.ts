/**
 * Arrays of any rank for naive reference computations in double precision: a result is a shape and a
 * function of the index, written as its definition is, without regard for speed.
 */
import { createRandom } from "../../src/base/random.ts";
import { show } from "../../src/onnx/shapes.ts";

export interface Nd {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: readonly number[];
}

type Index = readonly number[];

export const count = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

export function nd(shape: readonly number[], data: readonly number[]): Nd {
  if (count(shape) !== data.length) throw new Error(`${data.length} values for ${show(shape)}`);
  return { shape, data };
}

export function generate(shape: readonly number[], valueAt: (index: Index) => number): Nd {
  return nd(
    shape,
    Array.from({ length: count(shape) }, (_, flat) => valueAt(indexOf(shape, flat))),
  );
}

/** The element at an index; axes of size 1 and missing leading axes repeat, as broadcasting says. */
export function at({ shape, data }: Nd, index: Index): number {
  const lead = index.length - shape.length;
  const flat = shape.reduce((sum, n, axis) => sum * n + (n === 1 ? 0 : index[axis + lead]!), 0);
  return data[flat]!;
}

/** Σ over i < n. */
export function total(n: number, term: (i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += term(i);
  return sum;
}

/** Uniform in [from, to). */
export function random(seed: number, shape: readonly number[], from = -2, to = 2): Nd {
  const draw = createRandom(seed);
  return generate(shape, () => from + (to - from) * draw.uniform());
}

/**
 * offset ± 0.25, ± 0.5, ± 0.75, … each once, in random order, for functions with kinks: no two are close,
 * and none is near zero.
 */
export function spread(seed: number, shape: readonly number[], offset = 0): Nd {
  const draw = createRandom(seed);
  const apart = (i: number) => ((i >> 1) + 1) * (i % 2 ? -0.25 : 0.25);
  const values = Array.from({ length: count(shape) }, (_, i) => offset + apart(i));
  return nd(
    shape,
    values
      .map((value) => ({ value, key: draw.uniform() }))
      .sort((a, b) => a.key - b.key)
      .map(({ value }) => value),
  );
}

function indexOf(shape: readonly number[], flat: number): number[] {
  const index: number[] = [];
  for (const n of shape.toReversed()) {
    index.unshift(flat % n);
    flat = Math.floor(flat / n);
  }
  return index;
}
