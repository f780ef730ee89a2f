/** A graph as an ONNX model: opset 24, IR 10, loadable by any ONNX tool. */
import { create, toBinary } from "@bufbuild/protobuf";
import { type DType, dtypes, type TypedArray } from "./dtype.ts";
import {
  type AttributeProto,
  AttributeProtoSchema,
  GraphProtoSchema,
  AttributeProto_AttributeType as Kind,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./generated/onnx_pb.ts";
import type { Graph, Initializer, Node, Value } from "./graph.ts";
import type { Attributes, OpName } from "./ops.ts";

export const OPSET = 24;
const IR_VERSION = 10n;
const MICROSOFT = "com.microsoft";
const microsoftOps: ReadonlySet<OpName> = new Set([
  "FusedMatMul",
  "MatMulNBits",
  "GroupQueryAttention",
]);

/** Where a weight made with `Graph.weight` is: in the model itself, or in a file beside it. */
export type WeightPlace =
  | { readonly data: TypedArray }
  | { readonly file: string; readonly offset: number; readonly bytes: number };

/**
 * The model's bytes, without nodes that no output depends on: the runtime would compute them.
 * @param weights where each weight is, or "fed" for inputs of every run; without it they are declared as external
 * data that the session must be given by name.
 */
export function encode(g: Graph, weights?: ((name: string) => WeightPlace) | "fed"): Uint8Array {
  const fed = weights === "fed" ? g.initializers.filter(({ data }) => data === null) : [];
  const placeOf = weights === "fed" ? undefined : weights;
  const tensors = g.initializers
    .filter((each) => !fed.includes(each))
    .map((each) => encodeInitializer(each, placeOf));
  const renamed = outputNames(g);
  const nodes = neededNodes(g)
    .filter((node) => !isRenaming(node, renamed))
    .map((node, i) => encodeNode(node, i, { tensors, renamed }));
  const model = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: "plumbline",
    opsetImport: [
      { domain: "", version: BigInt(OPSET) },
      { domain: MICROSOFT, version: 1n },
    ],
    graph: create(GraphProtoSchema, {
      name: "plumbline",
      node: nodes,
      initializer: tensors,
      input: [...g.inputs, ...fed.map(({ value }) => value)].map(valueInfo),
      output: g.outputs.map(valueInfo),
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

function neededNodes({ nodes, outputs }: Graph): Node[] {
  const needed = new Set(outputs.map(({ name }) => name));
  const backwards = nodes.toReversed().filter((node) => {
    if (!node.outputs.some(({ name }) => needed.has(name))) return false;
    for (const { name } of node.inputs) needed.add(name);
    return true;
  });
  return backwards.reverse();
}

/**
 * Computed values that are outputs take the output's name, so that the runtime computes them where the output is
 * bound; left to a copying node it would do so only for values that nobody else reads.
 */
function outputNames({ nodes, outputs }: Graph): Map<string, string> {
  const asked = new Set(outputs.map(({ name }) => name));
  const computed = new Set(nodes.flatMap((node) => node.outputs.map(({ name }) => name)));
  const renamed = new Map<string, string>();
  for (const { op, inputs, outputs: made } of nodes) {
    const [from, to] = [inputs[0]?.name, made[0]!.name];
    if (op !== "Identity" || !asked.has(to) || from === undefined) continue;
    if (computed.has(from) && !asked.has(from) && !renamed.has(from)) renamed.set(from, to);
  }
  return renamed;
}

function isRenaming({ op, inputs, outputs }: Node, renamed: ReadonlyMap<string, string>): boolean {
  return op === "Identity" && renamed.get(inputs[0]!.name) === outputs[0]!.name;
}

interface Encoding {
  readonly tensors: TensorProto[];
  readonly renamed: ReadonlyMap<string, string>;
}

function encodeNode(node: Node, index: number, { tensors, renamed }: Encoding): NodeProto {
  const nameOf = ({ name }: Value) => renamed.get(name) ?? name;
  const { attributes, constants } = onnxForm(node);
  const extra = constants.map((numbers, i) => {
    const tensor = intTensor(`constant_${index}_${i}`, numbers);
    tensors.push(tensor);
    return tensor.name;
  });
  return create(NodeProtoSchema, {
    name: `${node.op}_${index}`,
    opType: node.op,
    domain: microsoftOps.has(node.op) ? MICROSOFT : "",
    input: [...node.inputs.map(nameOf), ...extra],
    output: node.outputs.map(nameOf),
    attribute: [...attributes],
  });
}

interface OnnxForm {
  readonly attributes: readonly AttributeProto[];
  /** Further constant inputs: a scalar or a list each. */
  readonly constants: readonly (number | readonly number[])[];
}

/** Operators whose attributes here are not what ONNX calls attributes. */
const specialForms: { readonly [K in OpName]?: (at: Attributes<K>) => OnnxForm } = {
  ReduceSum: reductionForm,
  ReduceMean: reductionForm,
  ReduceMax: reductionForm,
  ReduceLogSumExp: reductionForm,
  Slice: ({ start, end, axis }) => ({ attributes: [], constants: [[start], [end], [axis]] }),
  CumSum: ({ axis, reverse }) => ({
    attributes: [attribute("reverse", reverse)],
    constants: [axis],
  }),
  Cast: ({ to }) => ({ attributes: [attribute("to", dtypes[to].code)], constants: [] }),
  ConstantOfShape: ({ dtype, value }) => ({
    attributes: [fillAttribute(dtype, value)],
    constants: [],
  }),
  Range: () => ({ attributes: [], constants: [] }),
  Reshape: () => ({ attributes: [], constants: [] }),
  Expand: () => ({ attributes: [], constants: [] }),
};

function reductionForm({ axes, keepdims }: Attributes<"ReduceSum">): OnnxForm {
  return { attributes: [attribute("keepdims", keepdims)], constants: [axes] };
}

function onnxForm<K extends OpName>({ op, attributes: at }: Node<K>): OnnxForm {
  const special = specialForms[op];
  if (special) return special(at);
  const attributes = Object.entries(at).map(([key, value]) => attribute(key, value));
  return { attributes, constants: [] };
}

const floatAttributes: ReadonlySet<string> = new Set(["alpha", "epsilon", "scale", "softcap"]);

function attribute(name: string, value: unknown): AttributeProto {
  if (typeof value === "string") {
    return create(AttributeProtoSchema, {
      name,
      type: Kind.STRING,
      s: new TextEncoder().encode(value),
    });
  }
  if (Array.isArray(value)) {
    return create(AttributeProtoSchema, {
      name,
      type: Kind.INTS,
      ints: value.map((n) => BigInt(n)),
    });
  }
  const number = Number(value);
  return floatAttributes.has(name)
    ? create(AttributeProtoSchema, { name, type: Kind.FLOAT, f: number })
    : create(AttributeProtoSchema, { name, type: Kind.INT, i: BigInt(number) });
}

function fillAttribute(dtype: DType, value: number): AttributeProto {
  const data = new dtypes[dtype].array(1);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) data[0] = BigInt(value);
  else data[0] = value;
  return create(AttributeProtoSchema, {
    name: "value",
    type: Kind.TENSOR,
    t: tensor("", dtype, [1], data),
  });
}

function encodeInitializer(
  { value, data }: Initializer,
  placeOf: ((name: string) => WeightPlace) | undefined,
): TensorProto {
  const dims = value.shape.map(Number);
  if (data) return tensor(value.name, value.dtype, dims, data);
  const place = placeOf?.(value.name);
  if (place && "data" in place) return tensor(value.name, value.dtype, dims, place.data);
  const entries = place
    ? { location: place.file, offset: place.offset, length: place.bytes }
    : { location: "given-to-the-session" };
  return create(TensorProtoSchema, {
    name: value.name,
    dataType: dtypes[value.dtype].code,
    dims: dims.map(BigInt),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, entry]) => ({ key, value: String(entry) })),
  });
}

function tensor(
  name: string,
  dtype: DType,
  dims: readonly number[],
  data: TypedArray,
): TensorProto {
  const rawData = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return create(TensorProtoSchema, {
    name,
    dataType: dtypes[dtype].code,
    dims: dims.map(BigInt),
    rawData,
  });
}

function intTensor(name: string, numbers: number | readonly number[]): TensorProto {
  const values = typeof numbers === "number" ? [numbers] : numbers;
  const dims = typeof numbers === "number" ? [] : [values.length];
  return tensor(name, "int64", dims, BigInt64Array.from(values, BigInt));
}

function valueInfo({ name, dtype, shape }: Value): ValueInfoProto {
  const dim = shape.map((d) =>
    typeof d === "number"
      ? { value: { case: "dimValue" as const, value: BigInt(d) } }
      : { value: { case: "dimParam" as const, value: d } },
  );
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: { case: "tensorType", value: { elemType: dtypes[dtype].code, shape: { dim } } },
    },
  });
}
