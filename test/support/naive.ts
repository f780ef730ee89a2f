/** Operators as their definitions say, on plain arrays in double precision. */
import { broadcast, type Shape } from "../../src/onnx/shapes.ts";
import { at, generate, type Nd, nd, total } from "./arrays.ts";

export function elementwise(f: (...x: number[]) => number) {
  return (...xs: Nd[]) => {
    const shape = xs.map((x) => x.shape as Shape).reduce(broadcast) as number[]; // no symbols in an Nd
    return generate(shape, (i) => f(...xs.map((x) => at(x, i))));
  };
}

export function reduce(
  f: (x: number[]) => number,
  x: Nd,
  chosen: readonly number[],
  keep: 0 | 1,
): Nd {
  const axes = chosen.map((axis) => (axis + x.shape.length) % x.shape.length);
  const kept = x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
  const inner = x.shape.map((n, axis) => (axes.includes(axis) ? n : 1));
  const values = generate(kept, (outside) =>
    f([
      ...generate(inner, (inside) =>
        at(
          x,
          outside.map((o, axis) => o + inside[axis]!),
        ),
      ).data,
    ]),
  );
  return keep
    ? values
    : nd(
        x.shape.filter((_, axis) => !axes.includes(axis)),
        values.data,
      );
}

export const exponentials = (line: number[]) => line.map((x) => Math.exp(x));
export const sum = (line: readonly number[]) => line.reduce((a, b) => a + b, 0);
export const softmax = (line: number[]) =>
  exponentials(line).map((e) => e / sum(exponentials(line)));

export function product(a: Nd, b: Nd, transA: number, transB: number, alpha: number): Nd {
  const swap = (shape: readonly number[]) => [...shape.slice(0, -2), ...shape.slice(-2).reverse()];
  const [rows, inner] = (transA ? swap(a.shape) : a.shape).slice(-2);
  const columns = (transB ? swap(b.shape) : b.shape).at(-1)!;
  const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2)) as number[]; // no symbols in an Nd
  return generate([...batch, rows!, columns], (index) => {
    const [i, j] = index.slice(-2) as [number, number]; // of rank 2 or more
    const [left, right] = [index.slice(0, -2), index.slice(0, -2)];
    const term = (k: number) =>
      at(a, [...left, ...(transA ? [k, i] : [i, k])]) *
      at(b, [...right, ...(transB ? [j, k] : [k, j])]);
    return alpha * total(inner!, term);
  });
}

/** NumPy's `take`: the indices' shape takes the place of the axis. */
export const gathered = (axis: number) => (x: Nd, indices: Nd) => {
  const { length } = indices.shape;
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  return generate(shape, (i) => {
    const row = at(indices, i.slice(axis, axis + length));
    const size = x.shape[axis]!;
    return at(x, [...i.slice(0, axis), (row + size) % size, ...i.slice(axis + length)]);
  });
};

export const gatheredElements = (axis: number) => (x: Nd, indices: Nd) =>
  generate(indices.shape, (i) => at(x, i.with(axis, at(indices, i))));

/** What is written where: later writes win, or all add up. */
export function scattered(
  x: Nd,
  writes: readonly (readonly [number, number])[],
  reduction: string,
): Nd {
  const data = [...x.data];
  for (const [place, value] of writes) {
    data[place] = reduction === "add" ? data[place]! + value : value;
  }
  return nd(x.shape, data);
}

/** Dimension i turns with dimension i + half: (x₁, x₂) → (x₁ cos − x₂ sin, x₂ cos + x₁ sin). */
export function rotated(
  line: readonly number[],
  cos: readonly number[],
  sin: readonly number[],
): number[] {
  const half = line.length / 2;
  return line.map((x, i) =>
    i < half
      ? x * cos[i]! - line[i + half]! * sin[i]!
      : x * cos[i - half]! + line[i - half]! * sin[i - half]!,
  );
}

export const row = (x: Nd, ...index: number[]) =>
  Array.from({ length: x.shape.at(-1)! }, (_, i) => at(x, [...index, i]));
