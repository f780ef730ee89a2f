/**
 * The number formats that weights are stored in ⇄ float32, a whole array at a time.
 * Formats: IEEE 754-2019 §3.6 binary16 (1 sign, 5 exponent, 10 fraction bits); bfloat16 is the upper half
 * of a float32.
 */

/** @param halves [n] binary16 bit patterns. @returns [n] the same numbers, exactly; NaNs stay NaNs. */
export function float32FromFloat16(halves: Uint16Array): Float32Array {
  const floats = new Float32Array(halves.length);
  const bits = new Uint32Array(floats.buffer);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const magnitude = half & 0x7fff;
    const sign = (half & 0x8000) << 16;
    if (magnitude >= 0x7c00) bits[i] = sign | 0x7f800000 | (magnitude << 13);
    else {
      // The fraction moved into place, with an exponent that is 127 − 15 = 112 too small; the product
      // is exact, and makes subnormal halves the normal floats that they are.
      bits[i] = sign | (magnitude << 13);
      floats[i]! *= 2 ** 112;
    }
  }
  return floats;
}

/**
 * @param floats [n] any float32 values.
 * @returns [n] binary16 bit patterns, rounded to nearest, ties to even; from 65,520 on, infinity.
 */
export function toFloat16(floats: Float32Array): Uint16Array {
  const halves = new Uint16Array(floats.length);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < floats.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    halves[i] = sign | halfMagnitude(bits[i]! & 0x7fffffff, Math.abs(floats[i]!));
  }
  return halves;
}

/** @param bits of |value| as a float32. */
function halfMagnitude(bits: number, value: number): number {
  if (bits > 0x7f800000) return 0x7e00 | ((bits >>> 13) & 0x3ff); // NaN, quiet
  if (bits >= 0x477ff000) return 0x7c00; // 65,520, half way past the largest half
  // Subnormal: a multiple of 2⁻²⁴. Adding 2⁵² makes the double's own rounding, to even, do the work.
  if (bits < 0x38800000) return value * 2 ** 24 + 2 ** 52 - 2 ** 52;
  const rebiased = bits - (112 << 23);
  return (rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13;
}

/** @param halves [n] bfloat16 bit patterns. @returns [n] the same numbers, exactly. */
export function float32FromBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

/** @param floats [n] any float32 values. @returns [n] bfloat16 bit patterns, rounded to nearest, ties to even. */
export function toBfloat16(floats: Float32Array): Uint16Array {
  const halves = new Uint16Array(floats.length);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < floats.length; i++) {
    const value = bits[i]!;
    // The sum may carry into the exponent, as it should; a NaN must not be carried to infinity.
    if ((value & 0x7fffffff) > 0x7f800000) halves[i] = (value >>> 16) | 0x40;
    else halves[i] = (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
  return halves;
}
