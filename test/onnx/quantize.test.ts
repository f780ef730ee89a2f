/** Matrices in few bits: how near they stay, and what the runtime makes of them. */
import { expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { createRandom } from "../../src/base/random.ts";
import { BLOCK, dequantize, quantize } from "../../src/onnx/quantize.ts";

const random = createRandom(1);
const draw = (n: number, scale = 1) =>
  Float32Array.from({ length: n }, () => scale * random.normal());

test.each([4, 8] as const)("%i bits are off by at most half a level of their block", (bits) => {
  const [outputs, inputs] = [7, 3 * BLOCK];
  const matrix = draw(outputs * inputs);
  const rounded = dequantize(quantize(matrix, outputs, inputs, bits));
  for (let start = 0; start < matrix.length; start += BLOCK) {
    const block = matrix.subarray(start, start + BLOCK);
    const level = (Math.max(0, ...block) - Math.min(0, ...block)) / (2 ** bits - 1);
    // The zero point is a whole level, so that the ends may lie half a level outside.
    block.forEach((value, i) => {
      expect(Math.abs(value - rounded[start + i]!)).toBeLessThanOrEqual(level * 1.001);
    });
    const mean = block.reduce((sum, v, i) => sum + Math.abs(v - rounded[start + i]!), 0) / BLOCK;
    expect(mean).toBeLessThan(0.5 * level);
  }
});

test.each([4, 8] as const)("%i bits hold zeros and their own levels exactly", (bits) => {
  const top = 2 ** bits - 1;
  const levels = Float32Array.from({ length: BLOCK }, (_, i) => 0.25 * ((i * 5) % (top + 1)));
  levels[0] = 0.25 * top;
  const matrix = Float32Array.of(...levels, ...new Float32Array(BLOCK), ...levels.map((x) => -x));
  const rounded = dequantize(quantize(matrix, 1, 3 * BLOCK, bits));
  rounded.forEach((value, i) => {
    expect(value).toBeCloseTo(matrix[i]!, 6);
  });
});

test("inputs that are not whole blocks are refused", () => {
  expect(() => quantize(draw(2 * 40), 2, 40, 4)).toThrow(InvariantError);
});
