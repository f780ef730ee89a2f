/**
 * The graphs of a training step. A pass over some of its examples: policy graph + loss + gradients, (weights, sums,
 * batch) → (sums', metrics); after the last pass the norm of the sums, and the optimiser: (weights, moments, sums,
 * step) → (weights', moments').
 */
import type { Static, TObject } from "typebox";
import { Value as Json } from "typebox/value";
import { assert } from "../base/assert.ts";
import { backward } from "../onnx/backward.ts";
import { Graph, type Value } from "../onnx/graph.ts";
import { type AdamOptions, adamW, globalNorm } from "../onnx/optimizers.ts";
import {
  applyHead,
  type Head,
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
import type { Loss, LossTerms, SupervisedTerms } from "./losses/define.ts";

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
  /** T of the law π ∝ exp(logits / T) whose log-probabilities losses are given; 1 where nothing is said. */
  readonly temperature?: number | undefined;
}

export interface TrainingGraph {
  readonly graph: Graph;
  /** Those that are trained, in the order the model first uses them. */
  readonly weights: readonly TrainedWeight[];
  /** The others. */
  readonly frozen: readonly TrainedWeight[];
  /** Names of the scalar outputs: `loss` and the loss's own. */
  readonly metrics: readonly string[];
}

/** Names of a weight's inputs and outputs; the outputs carry `next.` in front. */
export const momentNames = (name: string) => ({ first: `first.${name}`, second: `second.${name}` });
export const sumName = (name: string) => `sum.${name}`;
/** Inputs of graphs whose loss asks for the mean of one of its metrics over the steps before. */
export const RUNNING_MEAN = "running_mean";
export const RUNNING_STEPS = "running_steps";
export const nextName = (name: string) => `next.${name}`;

/**
 * The forward pass and the loss.
 * @param options of the loss; what is missing takes its default.
 * @throws InvariantError for options that the loss does not take.
 */
export function lossGraph(
  config: TransformerConfig,
  loss: Loss,
  options: Static<TObject>,
  trained: Trained = {},
): TrainingGraph {
  const { graph, held, scalars } = forward(config, loss, options, trained);
  return finished(graph, held, scalars);
}

/**
 * The same, and gradients: to the sum of each weight is added its gradient times `share`, the part of the step's
 * examples that the pass holds.
 */
export function gradientGraph(
  config: TransformerConfig,
  loss: Loss,
  options: Static<TObject>,
  trained: Trained = {},
): TrainingGraph {
  const { graph: g, held, scalars } = forward(config, loss, options, trained);
  const weights = [...held.weights.values()];
  const gradients = backward(g, g.mul(scalars["loss"]!, g.input("share", "float32", [])), weights);
  weights.forEach(({ name, shape }, i) => {
    const sum = g.input(sumName(name), "float32", shape);
    g.output(nextName(sumName(name)), g.add(sum, gradients[i]!));
  });
  return finished(g, held, scalars);
}

/** The norm of all sums together. */
export function normGraph(weights: readonly TrainedWeight[]): Graph {
  const g = new Graph();
  const sums = weights.map(({ name, shape }) => g.input(sumName(name), "float32", shape));
  g.output("gradient_norm", globalNorm(g, sums));
  return g;
}

/** The optimiser's step from the sums; every output may take the memory of the input that it replaces. */
export function updateGraph(weights: readonly TrainedWeight[], options: AdamOptions): Graph {
  const g = new Graph();
  const parameters = weights.map(({ name, shape }) => {
    const input = (each: string) => g.input(each, "float32", shape);
    const { first, second } = momentNames(name);
    return {
      weight: input(name),
      gradient: input(sumName(name)),
      first: input(first),
      second: input(second),
      decay: shape.length > 1 && name !== "model.embed_tokens.weight",
    };
  });
  const scalar = (name: string) => g.input(name, "float32", []);
  const at = { step: scalar("step"), gradientNorm: scalar("gradient_norm") };
  const { updated, learningRate } = adamW(g, parameters, at, options);
  updated.forEach((next, i) => {
    const { name } = weights[i]!;
    const { first, second } = momentNames(name);
    g.output(nextName(name), next.weight);
    g.output(nextName(first), next.first);
    g.output(nextName(second), next.second);
  });
  g.output("learning_rate", learningRate);
  return g;
}

/** log π of answers, summed over their tokens, as the losses over answers are given it: `logps` [answers]. */
export function answerGraph(config: TransformerConfig): TrainingGraph {
  const { g, held, model } = begun(config, {});
  const { logps } = answerTerms(g, model.labelled(g.input("rows", "int64", ["scored"])));
  g.output("logps", logps);
  return finished(g, held, {});
}

/** Of each scored row what the model says of every token that may come next: `log_probabilities` [scored, vocabulary]. */
export function lawGraph(config: TransformerConfig): TrainingGraph {
  const { g, held, model } = begun(config, {});
  g.output("log_probabilities", model.logProbabilities(g.input("rows", "int64", ["scored"])));
  return finished(g, held, {});
}

/**
 * Of given answers, token by token: `logps` [scored], and with `hasValues` what the value head expects before each,
 * `values` [scored].
 */
export function tokenGraph(
  config: TransformerConfig,
  { hasValues = false, ...trained }: Trained & { readonly hasValues?: boolean } = {},
): TrainingGraph {
  const { g, held, model } = begun(config, trained);
  const rows = g.input("rows", "int64", ["scored"]);
  g.output("logps", g.gatherElements(model.logProbabilities(rows), labelColumn(g)));
  if (hasValues) g.output("values", model.score(rows));
  return finished(g, held, {});
}

const labelColumn = (g: Graph) => g.reshape(g.input("labels", "int64", ["scored"]), ["scored", 1]);

/** The model's weights by name. */
interface Held {
  readonly weights: ReadonlyMap<string, Value>;
  readonly frozen: ReadonlyMap<string, Value>;
}

function finished(
  graph: Graph,
  { weights, frozen }: Held,
  scalars: Readonly<Record<string, Value>>,
): TrainingGraph {
  for (const [name, value] of Object.entries(scalars)) graph.output(name, value);
  const described = (values: ReadonlyMap<string, Value>) =>
    [...values.values()].map(({ name, shape }) => ({ name, shape: shape.map(Number) }));
  const metrics = Object.keys(scalars);
  return { graph, weights: described(weights), frozen: described(frozen), metrics };
}

function forward(
  config: TransformerConfig,
  loss: Loss,
  options: Static<TObject>,
  trained: Trained,
) {
  const { g, held, model } = begun(config, trained);
  const terms = familyTerms(g, model, loss, complete(loss, options));
  const scalars: Record<string, Value> = { loss: terms.loss, ...terms.metrics };
  return { graph: g, held, scalars };
}

/** The model over packed tokens, and what families ask of it. */
function begun(config: TransformerConfig, trained: Trained) {
  const { lora, isTrained = trainedByDefault(lora), temperature = 1 } = trained;
  const g = new Graph();
  const held = { weights: new Map<string, Value>(), frozen: new Map<string, Value>() };
  const input =
    (known: Map<string, Value>): WeightSource =>
    (name, shape) => {
      const value = known.get(name) ?? g.input(name, "float32", shape);
      known.set(name, value);
      return value;
    };
  const [trainedWeight, frozenWeight] = [input(held.weights), input(held.frozen)];
  const weight: WeightSource = (name, shape) =>
    (isTrained(name) ? trainedWeight : frozenWeight)(name, shape);
  const whole = wholeWeights(g, weight);
  const products = lora ? withLora(g, whole, trainedWeight, lora) : whole;
  const hidden = packedForward(g, config, products, packedInputs(g));
  const head = (kind: Head, rows: Value) =>
    applyHead(g, config, weight, kind, g.gather(hidden, rows));
  const tempered = (logits: Value) =>
    temperature === 1 ? logits : g.scale(logits, 1 / temperature);
  const logProbabilities = (rows: Value) => g.logSoftmax(tempered(head("logits", rows)));
  const model: AskedModel = {
    score: (rows) => g.reshape(head("scores", rows), [rows.shape[0]!]),
    logProbabilities,
    labelled(rows, all = logProbabilities(rows)) {
      const labels = g.input("labels", "int64", ["scored"]);
      const weights = g.input("weights", "float32", ["scored"]);
      const picked = g.gatherElements(all, g.reshape(labels, ["scored", 1]));
      return { logps: g.reshape(picked, ["scored"]), weights };
    },
  };
  return { g, held, model };
}

const trainedByDefault = (lora: LoraSettings | undefined) => (name: string) =>
  lora === undefined || name.startsWith("score.");

interface AskedModel {
  /** Of rows of the packed tokens: a score each, or [rows, vocabulary] log-probabilities of the next token. */
  readonly score: (rows: Value) => Value;
  readonly logProbabilities: (rows: Value) => Value;
  /** log π of the tokens that are fed as labels. @param all log-probabilities, where they are known already. */
  readonly labelled: (rows: Value, all?: Value) => SupervisedTerms;
}

function complete({ name, options }: Loss, given: Static<TObject>): Static<TObject> {
  const completed = Json.Default(options, { ...given });
  assert(Json.Check(options, completed), `${name} does not take ${JSON.stringify(given)}`);
  return completed;
}

/** What the family's batch asks of the model, and the loss over it. */
function familyTerms(
  g: Graph,
  { score, logProbabilities, labelled }: AskedModel,
  loss: Loss,
  options: Static<TObject>,
): LossTerms {
  const answers = (needsLaws = false) => {
    const rows = g.input("rows", "int64", ["scored"]);
    const all = logProbabilities(rows);
    return answerTerms(g, labelled(rows, all), needsLaws ? all : undefined);
  };
  const running = () => ({
    mean: g.input(RUNNING_MEAN, "float32", []),
    steps: g.input(RUNNING_STEPS, "float32", []),
  });
  const drawn = (rows: Value) => {
    const all = logProbabilities(rows);
    return policyTerms(g, labelled(rows, all), all);
  };
  switch (loss.family) {
    case "supervised":
      return loss.build(g, labelled(g.input("rows", "int64", ["scored"])), options);
    case "distillation": {
      const rows = g.input("rows", "int64", ["scored"]);
      const all = logProbabilities(rows);
      return loss.build(g, distillationTerms(g, labelled(rows, all), all), options);
    }
    case "policy":
      return loss.build(g, drawn(g.input("rows", "int64", ["scored"])), options);
    case "actor-critic": {
      const rows = g.input("rows", "int64", ["scored"]);
      const policy = drawn(rows);
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
    case "pair": {
      const { needs = [] } = loss;
      const terms = pairTerms(g, answers(needs.includes("collisions")), needs);
      return loss.build(g, { ...terms, running }, options);
    }
    case "unpaired": {
      const terms = unpairedTerms(g, answers(), loss.needsMismatched);
      return loss.build(g, { ...terms, running }, options);
    }
    case "list":
      return loss.build(g, listTerms(g, answers()), options);
  }
}
