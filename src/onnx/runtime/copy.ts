/** Copies between tensors of the same size, whatever memory they are in. */
import { assert } from "../../base/assert.ts";
import { elementCount } from "../dtype.ts";
import type { Context } from "./context.ts";
import type { Lane } from "./lane.ts";
import { type NativeObject, pointerArray } from "./native.ts";
import type { Tensor } from "./tensor.ts";

interface Pair {
  readonly source: Tensor;
  readonly target: Tensor;
}

/** @throws as `Runtime.copy` says. */
export async function copyTensors(
  context: Context,
  from: readonly Tensor[],
  to: readonly Tensor[],
): Promise<void> {
  assert(from.length === to.length, `${from.length} tensors cannot be copied to ${to.length}`);
  const pairs = from.map((source, i) => ({ source, target: to[i]! }));
  pairs.forEach(checkPair);
  // Between ordinary memories ONNX Runtime offers no way, and needs none.
  for (const pair of pairs) if (!usesDevice(pair)) copyOrdinary(pair);
  const native = pairs.filter(usesDevice);
  for (const lane of new Set(native.map(laneOf))) {
    await copyNative(
      context,
      lane,
      native.filter((pair) => laneOf(pair) === lane),
    );
  }
}

function checkPair({ source, target }: Pair): void {
  const describe = (tensor: Tensor) => `${tensor.dtype} [${tensor.shape.join(", ")}]`;
  assert(
    source.dtype === target.dtype && elementCount(source.shape) === elementCount(target.shape),
    `${describe(source)} cannot be copied to ${describe(target)}`,
  );
  assert(target.place !== "cpu", "an output that ONNX Runtime allocated is read-only");
}

function usesDevice({ source, target }: Pair): boolean {
  return source.place === "device" || target.place === "device";
}

function laneOf({ source, target }: Pair): Lane {
  return source.place === "device" ? source.lane : target.lane;
}

function copyOrdinary({ source, target }: Pair): void {
  bytesOf(target).set(bytesOf(source));
}

function bytesOf({ data }: Tensor): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

async function copyNative(
  { library, env }: Context,
  lane: Lane,
  pairs: readonly Pair[],
): Promise<void> {
  const held: NativeObject[] = [];
  const hold = (tensor: Tensor) => {
    const native = tensor.hold();
    held.push(native);
    return native.pointer;
  };
  try {
    const sources = pointerArray(pairs.map(({ source }) => hold(source)));
    const targets = pointerArray(pairs.map(({ target }) => hold(target)));
    await lane.run(() =>
      library.later.CopyTensors(env.pointer, sources, targets, null, pairs.length),
    );
  } finally {
    for (const native of held) native.drop();
  }
}
