/** What ONNX Runtime says of a session's inputs and outputs, and of a value it made. */
import { GatewayError } from "../../base/errors.ts";
import { type DType, dtypeOfCode } from "../dtype.ts";
import { type Context, takeText } from "./context.ts";
import type { Pointer } from "./functions.ts";
import { created, textAt } from "./native.ts";

export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType;
  /** A name for a size that a run decides; "?" where the model gives none. */
  readonly shape: readonly (number | string)[];
}

/**
 * The inputs or outputs in the model's order.
 * @throws GatewayError runtime_failed for one that is not a tensor of numbers.
 */
export function describeValues(
  context: Context,
  session: Pointer,
  side: "Input" | "Output",
): readonly ValueInfo[] {
  const { call } = context.library;
  const count = created((out) => call[`SessionGet${side}Count`](session, out));
  return Array.from({ length: Number(count) }, (_, i) => {
    const pointer = created((out) =>
      call[`SessionGet${side}Name`](session, i, context.allocator, out),
    );
    const name = takeText(context, pointer);
    const type = created((out) => call[`SessionGet${side}TypeInfo`](session, i, out));
    try {
      return { name, ...describeType(context, type, `${side} '${name}'`) };
    } finally {
      call.ReleaseTypeInfo(type);
    }
  });
}

/** Type and sizes of an existing tensor. */
export function describeTensor(
  { library: { call } }: Context,
  value: Pointer,
): { dtype: DType; shape: number[] } {
  const info = created((out) => call.GetTensorTypeAndShape(value, out));
  try {
    return { dtype: dtypeOfCode(elementCode(call, info)), shape: sizes(call, info) };
  } finally {
    call.ReleaseTensorTypeAndShapeInfo(info);
  }
}

type Calls = Context["library"]["call"];

function describeType({ library: { call } }: Context, type: Pointer, what: string) {
  const info = created((out) => call.CastTypeInfoToTensorInfo(type, out)); // owned by `type`
  if (info === 0n) {
    throw new GatewayError("runtime_failed", { call: what, problem: "it is not a tensor" });
  }
  const dims = sizes(call, info);
  const names = new BigUint64Array(dims.length);
  call.GetSymbolicDimensions(info, names, dims.length);
  const shape = dims.map((size, axis) => (size >= 0 ? size : textAt(names[axis]!) || "?"));
  return { dtype: dtypeOfCode(elementCode(call, info)), shape };
}

function elementCode(call: Calls, info: Pointer): number {
  const code = new Int32Array(1);
  call.GetTensorElementType(info, code);
  return code[0]!;
}

/** −1 for a size that is not fixed. */
function sizes(call: Calls, info: Pointer): number[] {
  const rank = Number(created((out) => call.GetDimensionsCount(info, out)));
  const dims = new BigInt64Array(rank);
  call.GetDimensions(info, dims, rank);
  return Array.from(dims, Number);
}
