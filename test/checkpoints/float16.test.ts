import fc from "fast-check";
import { expect, test } from "vitest";
import {
  float32FromBfloat16,
  float32FromFloat16,
  toBfloat16,
  toFloat16,
} from "../../src/checkpoints/float16.ts";

const patterns = Uint16Array.from({ length: 0x10000 }, (_, pattern) => pattern);

/** IEEE 754's definition, written with powers and no bits of a float32. */
function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

test("gives each of the 65,536 halves the value that IEEE 754 defines", () => {
  const floats = float32FromFloat16(patterns);
  expect(patterns.findIndex((half, i) => !Object.is(floats[i], halfValue(half)))).toBe(-1);
});

test("gives every half back, NaNs as NaNs", () => {
  const back = toFloat16(float32FromFloat16(patterns));
  const differs = patterns.findIndex((half, i) =>
    Number.isNaN(halfValue(half)) ? !Number.isNaN(halfValue(back[i]!)) : back[i] !== half,
  );
  expect(differs).toBe(-1);
});

test("rounds every midpoint of neighbouring halves to the even one, and its neighbours away from it", () => {
  const wrong: number[] = [];
  for (let low = 0; low < 0x7bff; low++) {
    const middle = (halfValue(low) + halfValue(low + 1)) / 2; // exact in float32
    const [below, at, above] = toFloat16(Float32Array.of(down(middle), middle, up(middle)));
    const even = low % 2 === 0 ? low : low + 1;
    if (below !== low || at !== even || above !== low + 1) wrong.push(low);
  }
  expect(wrong).toEqual([]);
});

test.each([
  [65_504, 0x7bff],
  [65_519.996, 0x7bff],
  [65_520, 0x7c00],
  [1e30, 0x7c00],
  [-Infinity, 0xfc00],
  [2 ** -25, 0x0000],
  [2 ** -25 * 1.0001, 0x0001],
  [-0, 0x8000],
  [-1e-40, 0x8000],
])("turns %d into the half %d", (value, half) => {
  expect(toFloat16(Float32Array.of(value))[0]).toBe(half);
});

test("picks the nearest half of any float", () => {
  const finite = patterns.filter((half) => half < 0x7c00).map((half) => half);
  const float = fc.float({ min: -65_000, max: 65_000, noNaN: true });
  fc.assert(
    fc.property(float, (value) => {
      const half = toFloat16(Float32Array.of(value))[0]!;
      const error = Math.abs(halfValue(half) - value);
      const magnitude = half & 0x7fff;
      const neighbours = [finite[magnitude - 1], finite[magnitude + 1]].filter(
        (x) => x !== undefined,
      );
      return neighbours.every((x) => Math.abs(halfValue(x) - Math.abs(value)) >= error);
    }),
  );
});

test("reads bfloat16 as the upper half of a float32", () => {
  const floats = float32FromBfloat16(Uint16Array.of(0x3f80, 0xc000, 0x7f80, 0x0001, 0x8000));
  expect([...floats]).toEqual([1, -2, Number.POSITIVE_INFINITY, 2 ** -133, -0]);
});

const bitsOf = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
const fromBits = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0]!;
const up = (value: number) => fromBits(bitsOf(value) + 1);
const down = (value: number) => fromBits(bitsOf(value) - 1);

test("gives every bfloat16 back, NaNs as NaNs", () => {
  const floats = float32FromBfloat16(patterns);
  const back = toBfloat16(floats);
  const again = float32FromBfloat16(back);
  const differs = patterns.findIndex((pattern, i) =>
    Number.isNaN(floats[i]) ? !Number.isNaN(again[i]) : back[i] !== pattern,
  );
  expect(differs).toBe(-1);
  const sparse = new Float32Array(Uint32Array.of(0x7f800001).buffer); // a NaN of the lower half's bits alone
  expect(float32FromBfloat16(toBfloat16(sparse))[0]).toBeNaN();
});

test("rounds what lies between two bfloat16s to the nearer, and the middle to the even one", () => {
  const values = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -(1 + 2 ** -9)];
  const rounded = float32FromBfloat16(toBfloat16(Float32Array.from(values)));
  expect([...rounded]).toEqual([1, 1 + 2 ** -6, 1 + 2 ** -7, -1]); // 7 bits of fraction
  const largest = 2 ** 128 - 2 ** 120;
  const edges = Float32Array.of(largest, 2 ** 128 - 2 ** 119);
  expect([...float32FromBfloat16(toBfloat16(edges))]).toEqual([largest, Infinity]);
});
