/** ONNX files of others, changed a little: variants that exporters write, and faults. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { dtypes } from "../../src/onnx/dtype.ts";
import {
  type GraphProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type ValueInfoProto,
} from "../../src/onnx/generated/onnx_pb.ts";
import { node } from "./tiny-onnx.ts";

export function edited(bytes: Uint8Array, edit: (graph: GraphProto) => void): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes);
  edit(model.graph!);
  return toBinary(ModelProtoSchema, model);
}

export function made(...parts: Parameters<typeof node>): NodeProto {
  return create(NodeProtoSchema, node(...parts));
}

/** Keys, values and logits go in and out in half precision; the model computes as before. */
export function withHalfCache(graph: GraphProto): void {
  const cast = (from: string, to: string, type: "float16" | "float32") =>
    made("Cast", [from], [to], [{ name: "to", type: 2, i: BigInt(dtypes[type].code) }]);
  for (const info of graph.input.filter(({ name }) => name.startsWith("past_key_values"))) {
    const inside = `${info.name}.whole`;
    for (const each of graph.node) {
      each.input = each.input.map((name) => (name === info.name ? inside : name));
    }
    setHalf(info);
    graph.node.unshift(cast(info.name, inside, "float32"));
  }
  for (const info of graph.output) {
    const inside = `${info.name}.whole`;
    for (const each of graph.node) {
      each.output = each.output.map((name) => (name === info.name ? inside : name));
      each.input = each.input.map((name) => (name === info.name ? inside : name));
    }
    setHalf(info);
    graph.node.push(cast(inside, info.name, "float16"));
  }
}

/** Every logit depends on all rows of the batch, as activations in 8 bits do by their common scale. */
export function withMixedRows(graph: GraphProto): void {
  for (const each of graph.node) {
    each.output = each.output.map((name) => (name === "logits" ? "logits.own" : name));
  }
  graph.node.push(
    made("ReduceMax", ["logits.own"], ["logits.most"], [{ name: "keepdims", type: 2, i: 1n }]),
    made("Mul", ["logits.own", "logits.most"], ["logits"]),
  );
}

function setHalf({ type }: ValueInfoProto): void {
  if (type?.value.case === "tensorType") type.value.value.elemType = dtypes.float16.code;
}
