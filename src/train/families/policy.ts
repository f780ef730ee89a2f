/** What a batch of sampled answers asks of a policy. */
import type { Graph, Value } from "../../onnx/graph.ts";
import type { PolicyTerms } from "../losses/define.ts";

export function policyTerms(
  g: Graph,
  { logps, weights }: { logps: Value; weights: Value },
): PolicyTerms {
  const column = (name: string) => g.input(name, "float32", ["scored"]);
  return {
    logps,
    weights,
    old: column("old"),
    reference: column("reference"),
    advantages: column("advantages"),
    owners: g.input("owners", "int64", ["scored"]),
    lengths: g.input("lengths", "float32", ["answers"]),
  };
}
