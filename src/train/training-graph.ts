/**
 * Policy graph + loss + gradients + optimiser = one graph: (weights, moments, step, batch) →
 * (weights', moments', metrics). Weights and moments are inputs and outputs, so that they stay in the
 * runtime's memory between steps; weights that are not trained are inputs alone.
 */
import type { Static, TObject } from "typebox";
import { Value as Json } from "typebox/value";
import { assert } from "../base/assert.ts";
import { backward } from "../onnx/backward.ts";
import { Graph, type Value } from "../onnx/graph.ts";
import { type AdamOptions, adamW } from "../onnx/optimizers.ts";
import {
  applyHead,
  packedForward,
  packedInputs,
  type TransformerConfig,
  type WeightSource,
  wholeWeights,
} from "../onnx/transformer.ts";
import { answerTerms, listTerms, pairTerms, unpairedTerms } from "./families/answers.ts";
import { actorCriticTerms, policyTerms } from "./families/policy.ts";
import { rewardListTerms, rewardPairTerms, rewardPointTerms } from "./families/rewards.ts";
import { distillationTerms } from "./families/supervised.ts";
import { type LoraSettings, withLora } from "./lora.ts";
import type { Loss, LossTerms } from "./losses/define.ts";

export interface TrainedWeight {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What of a model is trained: all its weights, where nothing is said. */
export interface Trained {
  /** Matrices to be trained beside those of the model, which then are not. */
  readonly lora?: LoraSettings | undefined;
  /** Which of the model's own weights, by name. Beside LoRA: the score head, unless this says otherwise. */
  readonly isTrained?: ((name: string) => boolean) | undefined;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** Those that are trained, in the order the model first uses them. */
  readonly weights: readonly TrainedWeight[];
  /** The others. */
  readonly frozen: readonly TrainedWeight[];
  /** Names of the scalar outputs: `loss`, the loss's own, and (when training) gradient_norm, learning_rate. */
  readonly metrics: readonly string[];
}

/** Names of a weight's inputs and outputs; the outputs carry `next.` in front. */
export const momentNames = (name: string) => ({ first: `first.${name}`, second: `second.${name}` });
export const nextName = (name: string) => `next.${name}`;

/**
 * @param options   of the loss; what is missing takes its default.
 * @param optimizer null builds the forward pass and the loss alone, for evaluation and benchmarks.
 * @throws InvariantError for options that the loss does not take.
 */
export function trainingGraph(
  config: TransformerConfig,
  loss: Loss,
  options: Static<TObject>,
  optimizer: AdamOptions | null,
  { lora, isTrained = trainedByDefault(lora) }: Trained = {},
): TrainingGraph {
  const g = new Graph();
  const inputs = (known: Map<string, Value>): WeightSource => {
    return (name, shape) => {
      const value = known.get(name) ?? g.input(name, "float32", shape);
      known.set(name, value);
      return value;
    };
  };
  const [weights, frozen] = [new Map<string, Value>(), new Map<string, Value>()];
  const [trainedWeight, frozenWeight] = [inputs(weights), inputs(frozen)];
  const weight: WeightSource = (name, shape) =>
    (isTrained(name) ? trainedWeight : frozenWeight)(name, shape);
  const whole = wholeWeights(g, weight);
  const held = lora ? withLora(g, whole, trainedWeight, lora) : whole;
  const hidden = packedForward(g, config, held, packedInputs(g));
  const terms = familyTerms(g, config, weight, hidden, loss, complete(loss, options));
  const scalars: Record<string, Value> = { loss: terms.loss, ...terms.metrics };
  if (optimizer)
    Object.assign(scalars, appendUpdate(g, terms.loss, [...weights.values()], optimizer));
  for (const [name, value] of Object.entries(scalars)) g.output(name, value);
  const described = (values: ReadonlyMap<string, Value>) =>
    [...values.values()].map(({ name, shape }) => ({ name, shape: shape.map(Number) }));
  return {
    graph: g,
    weights: described(weights),
    frozen: described(frozen),
    metrics: Object.keys(scalars),
  };
}

const trainedByDefault = (lora: LoraSettings | undefined) => (name: string) =>
  lora === undefined || name.startsWith("score.");

function complete({ name, options }: Loss, given: Static<TObject>): Static<TObject> {
  const completed = Json.Default(options, { ...given });
  assert(Json.Check(options, completed), `${name} does not take ${JSON.stringify(given)}`);
  return completed;
}

/** What the family's batch asks of the model, and the loss over it. */
function familyTerms(
  g: Graph,
  config: TransformerConfig,
  weight: WeightSource,
  hidden: Value,
  loss: Loss,
  options: Static<TObject>,
): LossTerms {
  const score = (rows: Value) =>
    g.reshape(applyHead(g, config, weight, "scores", g.gather(hidden, rows)), [rows.shape[0]!]);
  const logProbabilities = (rows: Value) =>
    g.logSoftmax(applyHead(g, config, weight, "logits", g.gather(hidden, rows)));
  const labelled = (rows: Value, all = logProbabilities(rows)) => {
    const labels = g.input("labels", "int64", ["scored"]);
    const weights = g.input("weights", "float32", ["scored"]);
    const picked = g.gatherElements(all, g.reshape(labels, ["scored", 1]));
    return { logps: g.reshape(picked, ["scored"]), weights };
  };
  const answers = () => answerTerms(g, labelled(g.input("rows", "int64", ["scored"])));
  switch (loss.family) {
    case "supervised":
      return loss.build(g, labelled(g.input("rows", "int64", ["scored"])), options);
    case "distillation": {
      const rows = g.input("rows", "int64", ["scored"]);
      const all = logProbabilities(rows);
      return loss.build(g, distillationTerms(g, labelled(rows, all), all), options);
    }
    case "policy":
      return loss.build(g, policyTerms(g, labelled(g.input("rows", "int64", ["scored"]))), options);
    case "actor-critic": {
      const rows = g.input("rows", "int64", ["scored"]);
      const policy = policyTerms(g, labelled(rows));
      return loss.build(g, actorCriticTerms(g, policy, score(rows)), options);
    }
    case "correction": {
      const rows = g.input("rows", "int64", ["scored"]);
      const targets = g.input("targets", "float32", ["scored"]);
      return loss.build(g, { ...labelled(rows), scores: score(rows), targets }, options);
    }
    case "reward":
      return loss.build(g, rewardPairTerms(g, score), options);
    case "reward-list":
      return loss.build(g, rewardListTerms(g, score), options);
    case "reward-point":
      return loss.build(g, rewardPointTerms(g, score), options);
    case "pair":
      return loss.build(g, pairTerms(g, answers()), options);
    case "unpaired":
      return loss.build(g, unpairedTerms(g, answers(), loss.needsMismatched), options);
    case "list":
      return loss.build(g, listTerms(g, answers()), options);
  }
}

function appendUpdate(g: Graph, loss: Value, weights: readonly Value[], options: AdamOptions) {
  const gradients = backward(g, loss, weights);
  const parameters = weights.map((weight, i) => {
    const { first, second } = momentNames(weight.name);
    return {
      weight,
      gradient: gradients[i]!,
      first: g.input(first, "float32", weight.shape),
      second: g.input(second, "float32", weight.shape),
      decay: weight.shape.length > 1 && weight.name !== "model.embed_tokens.weight",
    };
  });
  const step = adamW(g, parameters, g.input("step", "float32", []), options);
  step.updated.forEach((next, i) => {
    const { first, second } = momentNames(weights[i]!.name);
    g.output(nextName(weights[i]!.name), next.weight);
    g.output(nextName(first), next.first);
    g.output(nextName(second), next.second);
  });
  return { gradient_norm: step.gradientNorm, learning_rate: step.learningRate };
}
