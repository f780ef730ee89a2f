/** The reverse walk: appends to a graph the gradients of one scalar with respect to some of its values. */
import { assert } from "../base/assert.ts";
import { type Gradient, gradients } from "./gradients.ts";
import type { Graph, Node, Value } from "./graph.ts";
import type { OpName } from "./ops.ts";
import { show } from "./shapes.ts";

/**
 * ∂loss/∂w for every w in `wanted`, in that order, each in w's shape.
 * A graph only appends, so the order of its nodes is a topological order and needs no sort.
 * @throws InvariantError when the loss is not a scalar, or does not depend on a wanted value.
 */
export function backward(g: Graph, loss: Value, wanted: readonly Value[]): Value[] {
  assert(loss.shape.length === 0, `the loss must be a scalar, not ${show(loss.shape)}`);
  const needed = dependents(g, wanted);
  const upstream = new Map<string, Value>([[loss.name, g.scalar(1, loss.dtype)]]);
  const forward = [...g.nodes];
  for (const node of forward.reverse()) {
    const dy = upstream.get(node.outputs[0]!.name);
    if (!dy || !needed.has(node.outputs[0]!.name)) continue;
    const inputGradients = apply(g, node, dy);
    node.inputs.forEach((input, i) => {
      const gradient = inputGradients[i];
      if (!gradient || !needed.has(input.name)) return;
      const sofar = upstream.get(input.name);
      upstream.set(input.name, sofar ? g.add(sofar, gradient) : gradient);
    });
  }
  return wanted.map((value) => {
    const gradient = upstream.get(value.name);
    assert(gradient, `the loss does not depend on ${value.name}`);
    return gradient;
  });
}

function apply<K extends OpName>(g: Graph, node: Node<K>, dy: Value): readonly (Value | null)[] {
  const rule: Gradient<K> = gradients[node.op];
  const ofInputs = rule({ g, x: node.inputs, y: node.outputs[0]!, dy, at: node.attributes });
  return ofInputs as readonly (Value | null)[]; // a tuple for each K; the compiler cannot see it for all
}

/** Names of all values that depend on one of the given ones, themselves included, but for those held constant. */
function dependents({ nodes, constants }: Graph, sources: readonly Value[]): Set<string> {
  const names = new Set(sources.map((value) => value.name));
  for (const node of nodes) {
    if (node.inputs.some((input) => names.has(input.name))) {
      for (const { name } of node.outputs) if (!constants.has(name)) names.add(name);
    }
  }
  return names;
}
