/**
 * Matrices in 4 or 8 bits: blocks of consecutive inputs of one output share a scale and a zero point,
 * w ≈ scale · (q − zero), q in [0, 2^bits). The layout is that of the runtime's `MatMulNBits`.
 */
import { assert } from "../base/assert.ts";

export type Bits = 4 | 8;

/** Inputs per scale. */
export const BLOCK = 32;

export interface QuantizedMatrix {
  readonly bits: Bits;
  readonly outputs: number;
  readonly inputs: number;
  /** [outputs, blocks, BLOCK·bits/8]: within a byte the lower bits come first. */
  readonly packed: Uint8Array;
  /** [outputs, blocks]. */
  readonly scales: Float32Array;
  /** [outputs, ⌈blocks·bits/8⌉]. */
  readonly zeros: Uint8Array;
}

/** Sizes of the three arrays. */
export function quantizedShapes(outputs: number, inputs: number, bits: Bits) {
  assert(inputs % BLOCK === 0, `${inputs} inputs are not whole blocks of ${BLOCK}`);
  const blocks = inputs / BLOCK;
  return {
    packed: [outputs, blocks, (BLOCK * bits) / 8],
    scales: [outputs, blocks],
    zeros: [outputs, Math.ceil((blocks * bits) / 8)],
  } as const;
}

export const isQuantizable = (inputs: number): boolean => inputs % BLOCK === 0;

/**
 * Rounds each block to the nearest of 2^bits levels between its smallest and largest value, 0 among them.
 * @param matrix [outputs, inputs]. @throws InvariantError when the inputs are not whole blocks.
 */
export function quantize(
  matrix: Float32Array,
  outputs: number,
  inputs: number,
  bits: Bits,
): QuantizedMatrix {
  const shapes = quantizedShapes(outputs, inputs, bits);
  const blocks = shapes.scales[1];
  const top = 2 ** bits - 1;
  const packed = new Uint8Array(outputs * blocks * shapes.packed[2]);
  const scales = new Float32Array(outputs * blocks);
  const zeros = new Uint8Array(outputs * shapes.zeros[1]);
  const perByte = 8 / bits;
  for (let output = 0; output < outputs; output++) {
    for (let block = 0; block < blocks; block++) {
      const start = output * inputs + block * BLOCK;
      let low = 0;
      let high = 0;
      for (let i = start; i < start + BLOCK; i++) {
        low = Math.min(low, matrix[i]!);
        high = Math.max(high, matrix[i]!);
      }
      const scale = Math.fround((high - low) / top) || 1; // a block of zeros
      const zero = Math.round(-low / scale);
      const at = output * blocks + block;
      scales[at] = scale;
      const zeroAt = output * shapes.zeros[1] + Math.floor(block / perByte);
      zeros[zeroAt]! |= zero << (bits * (block % perByte));
      for (let i = 0; i < BLOCK; i++) {
        const level = Math.round(matrix[start + i]! / scale) + zero;
        const q = Math.min(top, Math.max(0, level));
        packed[at * shapes.packed[2] + Math.floor(i / perByte)]! |= q << (bits * (i % perByte));
      }
    }
  }
  return { bits, outputs, inputs, packed, scales, zeros };
}

/** The matrix that the rounded one stands for, [outputs, inputs]. */
export function dequantize(matrix: QuantizedMatrix): Float32Array {
  const { bits, outputs, inputs, packed, scales, zeros } = matrix;
  const shapes = quantizedShapes(outputs, inputs, bits);
  const blocks = shapes.scales[1];
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  const at = (bytes: Uint8Array, offset: number, i: number) =>
    (bytes[offset + Math.floor(i / perByte)]! >> (bits * (i % perByte))) & mask;
  return Float32Array.from({ length: outputs * inputs }, (_, k) => {
    const output = Math.floor(k / inputs);
    const block = Math.floor((k % inputs) / BLOCK);
    const index = output * blocks + block;
    const q = at(packed, index * shapes.packed[2], k % BLOCK);
    const zero = at(zeros, output * shapes.zeros[1], block);
    return scales[index]! * (q - zero);
  });
}
