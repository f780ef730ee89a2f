/** A policy loss run on numbers, in double precision: one answer of all tokens unless `owners` says otherwise. */
import { Value as Json } from "typebox/value";
import { backward } from "../../src/onnx/backward.ts";
import { Graph } from "../../src/onnx/graph.ts";
import type { Runtime } from "../../src/onnx/runtime/index.ts";
import type { ActorCriticLoss, PolicyLoss } from "../../src/train/losses/define.ts";
import { nd } from "./arrays.ts";
import { evaluate, feed, inputs } from "./graphs.ts";

export interface PolicyNumbers {
  readonly logps: readonly number[];
  readonly old?: readonly number[];
  readonly reference?: readonly number[];
  readonly advantages: readonly number[];
  readonly weights?: readonly number[];
  readonly owners?: readonly number[];
  /** For losses with a value head; `values` are also the old ones where nothing is said. */
  readonly values?: readonly number[];
  readonly oldValues?: readonly number[];
  readonly returns?: readonly number[];
  /** Of the law of each token. */
  readonly entropies?: readonly number[];
}

/** The loss, its metrics, and `slopes`: ∂loss/∂logps. */
export async function runPolicyLoss(
  runtime: Runtime,
  loss: PolicyLoss | ActorCriticLoss,
  numbers: PolicyNumbers,
  options: Record<string, unknown> = {},
) {
  const { logps, old = logps, reference = logps, advantages } = numbers;
  const { weights = logps.map(() => 1), owners = logps.map(() => 0) } = numbers;
  const { values = logps, oldValues = values, returns = values } = numbers;
  const lengths = Array.from(
    { length: Math.max(...owners) + 1 },
    (_, i) => owners.filter((owner) => owner === i).length,
  );
  const column = (data: readonly number[]) => feed("float64", nd([data.length], data));
  const feeds = {
    logps: column(logps),
    old: column(old),
    reference: column(reference),
    advantages: column(advantages),
    weights: column(weights),
    owners: feed("int64", nd([owners.length], owners)),
    lengths: column(lengths),
    values: column(values),
    oldValues: column(oldValues),
    returns: column(returns),
    entropies: column(numbers.entropies ?? logps),
  };
  const g = new Graph();
  const terms = inputs(g, feeds);
  const complete = Json.Default(loss.options, { ...options });
  const given = { ...terms, entropies: () => terms.entropies };
  const built = loss.build(g, given, complete as Record<string, unknown>); // of the options' schema
  const [slopes] = backward(g, built.loss, [terms.logps]);
  const asked = { ...built.metrics, loss: built.loss, slopes: slopes! };
  const results = await evaluate(runtime, g, asked, feeds);
  const metrics = Object.fromEntries(
    Object.entries(results).map(([name, { data }]) => [name, data[0]!]),
  );
  return { loss: results.loss.data[0]!, metrics, slopes: results.slopes.data };
}
