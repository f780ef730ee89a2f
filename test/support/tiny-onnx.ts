/** Builds ONNX models of a few nodes, for tests that need a model but not our own graph builder. */
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { type DType, dtypes } from "../../src/onnx/dtype.ts";
import {
  AttributeProto_AttributeType,
  type AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProtoSchema,
  TensorProto_DataLocation,
  type TensorProtoSchema,
  type ValueInfoProtoSchema,
} from "../../src/onnx/generated/onnx_pb.ts";

type Node = MessageInitShape<typeof NodeProtoSchema>;
type ValueInfo = MessageInitShape<typeof ValueInfoProtoSchema>;
type TensorProto = MessageInitShape<typeof TensorProtoSchema>;

export interface TinyGraph {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly nodes: readonly Node[];
  readonly initializers?: readonly TensorProto[];
}

/** The model's bytes, opset 21 at IR 10. */
export function tinyModel(graph: TinyGraph): Uint8Array {
  return toBinary(
    ModelProtoSchema,
    create(ModelProtoSchema, {
      irVersion: 10n,
      opsetImport: [{ domain: "", version: 21n }],
      graph: tinyGraph(graph),
    }),
  );
}

/** A graph by itself, for the body of a Loop or an If. */
export function tinyGraph({ inputs, outputs, nodes, initializers = [] }: TinyGraph) {
  return create(GraphProtoSchema, {
    name: "tiny",
    input: [...inputs],
    output: [...outputs],
    node: [...nodes],
    initializer: [...initializers],
  });
}

/** A named tensor; a string in its shape is a size that a run decides. */
export function value(name: string, dtype: DType, shape: readonly (number | string)[]): ValueInfo {
  const dim = shape.map((size) => ({
    value:
      typeof size === "number"
        ? { case: "dimValue" as const, value: BigInt(size) }
        : { case: "dimParam" as const, value: size },
  }));
  return {
    name,
    type: {
      value: { case: "tensorType", value: { elemType: dtypes[dtype].code, shape: { dim } } },
    },
  };
}

export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attribute: readonly MessageInitShape<typeof AttributeProtoSchema>[] = [],
): Node {
  return { opType, input: [...input], output: [...output], attribute: [...attribute] };
}

export function floats(
  name: string,
  shape: readonly number[],
  data: readonly number[],
): TensorProto {
  const rawData = new Uint8Array(Float32Array.from(data).buffer);
  return { name, dataType: dtypes.float32.code, dims: shape.map(BigInt), rawData };
}

/** An initializer whose data is not in the model: a session gets it as a tensor. */
export function absent(name: string, dtype: DType, shape: readonly number[]): TensorProto {
  return {
    name,
    dataType: dtypes[dtype].code,
    dims: shape.map(BigInt),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: [{ key: "location", value: "absent" }],
  };
}

/** c = a + b, vectors of any length. */
export function addModel(): Uint8Array {
  return tinyModel({
    inputs: [value("a", "float32", ["n"]), value("b", "float32", ["n"])],
    outputs: [value("c", "float32", ["n"])],
    nodes: [node("Add", ["a", "b"], ["c"])],
  });
}

/** y = x w, with w [inner, outer] absent from the model. */
export function matMulModel(inner: number, outer: number): Uint8Array {
  return tinyModel({
    inputs: [value("x", "float32", ["n", inner])],
    outputs: [value("y", "float32", ["n", outer])],
    initializers: [absent("w", "float32", [inner, outer])],
    nodes: [node("MatMul", ["x", "w"], ["y"])],
  });
}

/**
 * y = x + 1 + … + 1, `count` times, one operator after another: 10 million take several seconds, and a
 * run can be ended between any two.
 */
export function slowModel(): Uint8Array {
  const body = tinyGraph({
    inputs: [value("i", "int64", []), value("go", "bool", []), value("x", "float32", [])],
    outputs: [value("goOn", "bool", []), value("next", "float32", [])],
    nodes: [node("Identity", ["go"], ["goOn"]), node("Add", ["x", "one"], ["next"])],
    initializers: [floats("one", [], [1])],
  });
  return tinyModel({
    inputs: [value("count", "int64", []), value("start", "float32", [])],
    outputs: [value("y", "float32", [])],
    nodes: [
      node(
        "Loop",
        ["count", "", "start"],
        ["y"],
        [{ name: "body", type: AttributeProto_AttributeType.GRAPH, g: body }],
      ),
    ],
  });
}
