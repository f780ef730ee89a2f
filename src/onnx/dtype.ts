/**
 * Element types: their ONNX code and the typed array that holds them. JavaScript has no half
 * precision and no bits: `float16` and `bfloat16` are their 16-bit patterns, `bool` is a byte of 0 or 1.
 */
import { assert } from "../base/assert.ts";

interface DTypeArrays {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  bool: Uint8Array;
}

export type DType = keyof DTypeArrays;
/** The typed array that holds elements of type D. */
export type TypedArray<D extends DType = DType> = DTypeArrays[D];

interface TypedArrayConstructor<D extends DType> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): TypedArray<D>;
  new (buffer: ArrayBufferLike, byteOffset?: number, length?: number): TypedArray<D>;
}

interface DTypeEntry<D extends DType> {
  /** TensorProto.DataType in a model file; ONNXTensorElementDataType in the C API has the same numbers. */
  readonly code: number;
  readonly array: TypedArrayConstructor<D>;
}

export const dtypes: { readonly [D in DType]: DTypeEntry<D> } = {
  float32: { code: 1, array: Float32Array },
  float64: { code: 11, array: Float64Array },
  float16: { code: 10, array: Uint16Array },
  bfloat16: { code: 16, array: Uint16Array },
  int8: { code: 3, array: Int8Array },
  uint8: { code: 2, array: Uint8Array },
  int16: { code: 5, array: Int16Array },
  uint16: { code: 4, array: Uint16Array },
  int32: { code: 6, array: Int32Array },
  uint32: { code: 12, array: Uint32Array },
  int64: { code: 7, array: BigInt64Array },
  uint64: { code: 13, array: BigUint64Array },
  bool: { code: 9, array: Uint8Array },
};

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  return dtypes[dtype].array.BYTES_PER_ELEMENT;
}

/** Number of elements of a shape; 1 for a scalar, whose shape is empty. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** @throws InvariantError for a code without a typed array: strings, complex numbers, 8- and 4-bit floats. */
export function dtypeOfCode(code: number): DType {
  const found = dtypeNames.find((dtype) => dtypes[dtype].code === code);
  assert(found !== undefined, `ONNX element type ${code} has no typed array`);
  return found;
}

// Object.keys is typed string[]; the table's own type says which strings they are.
const dtypeNames = Object.keys(dtypes) as readonly DType[];
