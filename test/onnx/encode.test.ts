/** The model file that a graph becomes, read back with ONNX's own types, and loaded by ONNX Runtime. */
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encode, OPSET } from "../../src/onnx/encode.ts";
import {
  type AttributeProto,
  AttributeProto_AttributeType as Kind,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProto_DataType,
} from "../../src/onnx/generated/onnx_pb.ts";
import { Graph } from "../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** y = mean(0.5 · x · wᵀ) over tokens, with w given to the session. */
function example(): Graph {
  const g = new Graph();
  const x = g.input("x", "float32", ["batch", "tokens", 2]);
  const w = g.weight("w", "float32", [3, 2]);
  g.output("y", g.mean(g.matmul(x, w, { transB: true, alpha: 0.5 }), 1));
  return g;
}

const decode = (g: Graph) => {
  const model = fromBinary(ModelProtoSchema, encode(g));
  return { model, graph: model.graph! };
};

const nodeOf = (g: Graph, op: string): NodeProto =>
  decode(g).graph.node.find(({ opType }) => opType === op)!;

const attributesOf = ({ attribute }: NodeProto): Record<string, unknown> =>
  Object.fromEntries(attribute.map((each) => [each.name, valueOfAttribute(each)]));

function valueOfAttribute({ type, i, f, s, ints }: AttributeProto): unknown {
  if (type === Kind.INT) return i;
  if (type === Kind.FLOAT) return f;
  if (type === Kind.INTS) return ints;
  return new TextDecoder().decode(s);
}

const int64s = ({ rawData }: TensorProto) => [...new BigInt64Array(rawData.slice().buffer)];

describe("the model", () => {
  test("declares opset 24 and Microsoft's first, in a format that ONNX Runtime 1.30 reads", () => {
    const { model } = decode(example());
    expect(OPSET).toBe(24);
    expect(model.irVersion).toBe(10n);
    expect(model.opsetImport.map(({ domain, version }) => [domain, version])).toEqual([
      ["", 24n],
      ["com.microsoft", 1n],
    ]);
  });

  test("declares inputs and outputs with their types, sizes and symbols", () => {
    const { graph } = decode(example());
    const described = [...graph.input, ...graph.output].map(({ name, type }) => {
      // of the kinds a value can have, all here are tensors
      const tensor = type!.value.value as {
        elemType: number;
        shape: { dim: { value: { value: unknown } }[] };
      };
      return [name, tensor.elemType, tensor.shape.dim.map(({ value }) => value.value)];
    });
    expect(described).toEqual([
      ["x", TensorProto_DataType.FLOAT, ["batch", "tokens", 2n]],
      ["y", TensorProto_DataType.FLOAT, ["batch", 3n]],
    ]);
  });

  test("declares weights as external data and holds none of it", () => {
    const { graph } = decode(example());
    const weight = graph.initializer.find(({ name }) => name === "w")!;
    expect(weight.dims).toEqual([3n, 2n]);
    expect(weight.dataType).toBe(TensorProto_DataType.FLOAT);
    expect(weight.dataLocation).toBe(TensorProto_DataLocation.EXTERNAL);
    expect(weight.externalData.map(({ key }) => key)).toEqual(["location"]);
    expect(weight.rawData).toHaveLength(0);
  });

  test("names every node and value once, and uses none before it is made", () => {
    const { graph } = decode(example());
    expect(new Set(graph.node.map(({ name }) => name)).size).toBe(graph.node.length);
    const known = new Set([...graph.input, ...graph.initializer].map(({ name }) => name));
    for (const node of graph.node) {
      for (const input of node.input) expect(known).toContain(input);
      for (const output of node.output) {
        expect(known).not.toContain(output);
        known.add(output);
      }
    }
  });

  test("leaves out nodes that no output depends on, however they end", () => {
    const g = new Graph();
    const x = g.input("x", "float32", ["n"]);
    g.exp(g.neg(x));
    g.output("y", g.sqrt(g.abs(x)));
    g.log(x);
    expect(decode(g).graph.node.map(({ opType }) => opType)).toEqual(["Abs", "Sqrt"]);
  });

  test("is the same bytes for the same graph", () => {
    expect(encode(example())).toEqual(encode(example()));
  });
});

describe("a node", () => {
  test("of Microsoft's operators says so; alpha is a float, transB an integer", () => {
    const node = nodeOf(example(), "FusedMatMul");
    expect(node.domain).toBe("com.microsoft");
    expect(attributesOf(node)).toEqual({ transA: 0n, transB: 1n, alpha: 0.5 });
    expect(nodeOf(example(), "ReduceMean").domain).toBe("");
  });

  test("has constant axes, bounds and directions as inputs, as ONNX wants them", () => {
    const g = new Graph();
    const x = g.input("x", "float32", [2, 5]);
    const summed = g.op("CumSum", [g.slice(x, -1, 1, 4)], { axis: 1, reverse: 1 });
    g.output("y", g.sum(summed, [0, 1], true));
    const { graph } = decode(g);
    const constants = (op: string) => {
      const { input } = graph.node.find(({ opType }) => opType === op)!;
      return input.slice(1).map((name) => graph.initializer.find((each) => each.name === name)!);
    };
    expect(constants("Slice").map(int64s)).toEqual([[1n], [4n], [1n]]);
    expect(constants("CumSum").map((each) => [each.dims, int64s(each)])).toEqual([[[], [1n]]]);
    expect(constants("ReduceSum").map(int64s)).toEqual([[0n, 1n]]);
    expect(attributesOf(nodeOf(g, "CumSum"))).toEqual({ reverse: 1n });
    expect(attributesOf(nodeOf(g, "ReduceSum"))).toEqual({ keepdims: 1n });
    expect(attributesOf(nodeOf(g, "Slice"))).toEqual({});
  });

  test("has lists, words and element types as attributes", () => {
    const g = new Graph();
    const x = g.input("x", "float32", [2, 3]);
    const indices = g.input("indices", "int64", [1, 3]);
    const turned = g.transpose(g.cast(x, "float64"), [1, 0]);
    const updates = g.input("updates", "float32", [1, 3]);
    g.output("turned", turned);
    g.output("y", g.op("ScatterElements", [x, indices, updates], { axis: 0, reduction: "add" }));
    expect(attributesOf(nodeOf(g, "Transpose"))).toEqual({ perm: [1n, 0n] });
    expect(attributesOf(nodeOf(g, "Cast"))).toEqual({ to: BigInt(TensorProto_DataType.DOUBLE) });
    expect(attributesOf(nodeOf(g, "ScatterElements"))).toEqual({ axis: 0n, reduction: "add" });
  });

  test("that fills a shape carries the number in the right type", () => {
    const g = new Graph();
    const shape = g.ints([2]);
    g.output("y", g.op("ConstantOfShape", [shape], { value: 7, dtype: "int64", shape: [2] }));
    const [fill] = nodeOf(g, "ConstantOfShape").attribute;
    expect(fill!.t!.dataType).toBe(TensorProto_DataType.INT64);
    expect(int64s(fill!.t!)).toEqual([7n]);
  });
});

test("ONNX Runtime loads the model with the weights it is given, and computes with them", async () => {
  const w = runtime.tensor("float32", [3, 2], Float32Array.of(1, 0, 0, 1, 1, 1));
  const session = await runtime.session(encode(example()), { initializers: new Map([["w", w]]) });
  const x = runtime.tensor("float32", [1, 2, 2], Float32Array.of(1, 2, 3, 6));
  const { y } = await session.evaluate({ x });
  session.dispose();
  expect(y!.shape).toEqual([1, 3]);
  expect([...y!.data]).toEqual([1, 2, 3]); // 0.5 · the mean of [1, 2, 3] and [3, 6, 9]
});
