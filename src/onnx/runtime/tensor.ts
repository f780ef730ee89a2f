/**
 * Tensors: an OrtValue and the memory it points to, which is a JavaScript typed array (shared, never
 * copied), memory of ONNX Runtime's, or memory of a device.
 */
import { assert } from "../../base/assert.ts";
import { bytesPerElement, type DType, dtypes, elementCount, type TypedArray } from "../dtype.ts";
import type { Context } from "./context.ts";
import { describeTensor } from "./describe.ts";
import type { Pointer } from "./functions.ts";
import { type Lane, openLane } from "./lane.ts";
import { addressOf, copyOut, created, NativeObject } from "./native.ts";

/** Where a tensor's elements are. Only "javascript" is shared with the typed array in `data`. */
export type Place = "javascript" | "cpu" | "device";

interface TensorParts<D extends DType> {
  readonly context: Context;
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly place: Place;
  /** Null unless the place is "javascript". */
  readonly array: TypedArray<D> | null;
  readonly native: NativeObject;
  /** Turns at the memory's device. */
  readonly lane: Lane;
}

/** A tensor of any rank; a scalar has shape []. Made by `Runtime.tensor` and `Session.deviceTensor`. */
export class Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly place: Place;
  /** For whoever touches the memory: its device's turns. */
  readonly lane: Lane;
  readonly #context: Context;
  readonly #array: TypedArray<D> | null;
  readonly #native: NativeObject;

  constructor(parts: TensorParts<D>) {
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.place = parts.place;
    this.lane = parts.lane;
    this.#context = parts.context;
    this.#array = parts.array;
    this.#native = parts.native;
  }

  /**
   * The elements in row-major order: the shared array itself, or a copy of memory that ONNX Runtime owns.
   * @throws InvariantError after disposal, and for device memory, which `Runtime.copy` brings to a
   * tensor of `Runtime.tensor` first.
   */
  get data(): TypedArray<D> {
    this.#native.assertAlive();
    if (this.#array) return this.#array;
    assert(this.place === "cpu", "device memory has no JavaScript view: copy it to a tensor first");
    const { call } = this.#context.library;
    const address = created((out) => call.GetTensorMutableData(this.#native.pointer, out));
    const bytes = elementCount(this.shape) * bytesPerElement(this.dtype);
    return new dtypes[this.dtype].array(copyOut(address, bytes));
  }

  /**
   * Another tensor over a part of the same memory, which lives until both are disposed.
   * @param offset the part's first element.
   * @throws InvariantError when the part does not lie within, or the memory is not a JavaScript array.
   */
  view(shape: readonly number[], offset: number): Tensor<D> {
    this.#native.assertAlive();
    const array = this.#array;
    assert(array !== null, `a view needs JavaScript memory, not ${this.place} memory`);
    const count = checkedCount(shape);
    assert(
      Number.isSafeInteger(offset) && offset >= 0 && offset + count <= array.length,
      `a view of ${count} elements at ${offset} leaves the tensor's ${array.length}`,
    );
    // subarray keeps the array's type, but its declared result is the union of all of them.
    const part = array.subarray(offset, offset + count) as TypedArray<D>;
    return wrapTensor(this.#context, this.dtype, shape, part);
  }

  /** Another owner of the same memory, wherever it is; it lives until both are disposed. */
  share(): Tensor<D> {
    const held = this.hold();
    const native = new NativeObject("a shared tensor", held.pointer, () => held.drop());
    const { dtype, shape, place, lane } = this;
    const array = this.#array;
    return new Tensor({ context: this.#context, dtype, shape, place, array, native, lane });
  }

  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** Ends the owner's use. Bindings and sessions that hold the tensor keep its memory until they end. */
  dispose(): void {
    this.#native.dispose();
  }

  /** For a binding, session or copy that uses the value: it must drop it once. */
  hold(): NativeObject {
    assert(
      this.#array === null || this.#array.length === elementCount(this.shape),
      "the tensor's ArrayBuffer was transferred or shrunk: its memory is gone",
    );
    return this.#native.hold();
  }
}

/** A tensor over `array` itself. @throws InvariantError when array, dtype and shape disagree. */
export function wrapTensor<D extends DType>(
  context: Context,
  dtype: D,
  shape: readonly number[],
  array: TypedArray<D>,
): Tensor<D> {
  const count = checkedCount(shape);
  assert(array instanceof dtypes[dtype].array, `a ${dtype} tensor needs its own kind of array`);
  assert(
    array.length === count,
    `shape [${shape.join(", ")}] has ${count} elements, its array ${array.length}`,
  );
  const { call } = context.library;
  const pointer = created((out) =>
    call.CreateTensorWithDataAsOrtValue(
      context.cpu.pointer,
      addressOf(array),
      array.byteLength,
      dimensions(shape),
      shape.length,
      dtypes[dtype].code,
      out,
    ),
  );
  const native = new NativeObject("a tensor", pointer, call.ReleaseValue, array);
  const place = "javascript";
  return new Tensor({ context, dtype, shape: [...shape], place, array, native, lane: openLane });
}

/** Where `allocateTensor` allocates. */
export interface DeviceAllocator {
  readonly native: NativeObject;
  readonly lane: Lane;
}

/** A tensor in a device's memory; its contents are undefined. For whoever has the turn at the device. */
export function allocateTensor<D extends DType>(
  context: Context,
  dtype: D,
  shape: readonly number[],
  { native: allocator, lane }: DeviceAllocator,
): Tensor<D> {
  checkedCount(shape);
  const { call } = context.library;
  const code = dtypes[dtype].code;
  const pointer = created((out) =>
    call.CreateTensorAsOrtValue(allocator.pointer, dimensions(shape), shape.length, code, out),
  );
  allocator.hold();
  const native = new NativeObject("a device tensor", pointer, (value) => {
    lane.release(() => call.ReleaseValue(value));
    allocator.drop();
  });
  return new Tensor({
    context,
    dtype,
    shape: [...shape],
    place: "device",
    array: null,
    native,
    lane,
  });
}

function checkedCount(shape: readonly number[]): number {
  for (const size of shape) {
    assert(Number.isSafeInteger(size) && size >= 0, `[${shape.join(", ")}] is not a shape`);
  }
  return elementCount(shape);
}

function dimensions(shape: readonly number[]): BigInt64Array {
  return BigInt64Array.from(shape, BigInt);
}

/** A tensor over a value that ONNX Runtime made. From here on the tensor answers for its release. */
export function adoptTensor(
  context: Context,
  value: Pointer,
  place: "cpu" | "device",
  lane: Lane,
): Tensor {
  const { call } = context.library;
  const native = new NativeObject("an output", value, (released) =>
    lane.release(() => call.ReleaseValue(released)),
  );
  return new Tensor({
    context,
    ...describeTensor(context, value),
    place,
    array: null,
    native,
    lane,
  });
}

/** A tensor of zeros in JavaScript memory. */
export function zeroTensor<D extends DType>(
  context: Context,
  dtype: D,
  shape: readonly number[],
): Tensor<D> {
  return wrapTensor(context, dtype, shape, new dtypes[dtype].array(checkedCount(shape)));
}
