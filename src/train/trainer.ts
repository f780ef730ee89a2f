/**
 * A model that learns: weights and moments in the runtime's memory, and the graphs of a step over them. A step takes one
 * pass or several, whose gradients it sums; only then the weights change, in place. Weights that are not trained
 * are there once, in the memory they were given in.
 */
import type { Static, TObject } from "typebox";
import { assert } from "../base/assert.ts";
import { elementCount } from "../onnx/dtype.ts";
import { encode } from "../onnx/encode.ts";
import type { AdamOptions } from "../onnx/optimizers.ts";
import type { Binding, Runtime, Session, SessionOptions, Tensor } from "../onnx/runtime/index.ts";
import type { TransformerConfig } from "../onnx/transformer.ts";
import type { StepData } from "./batches.ts";
import type { Loss } from "./losses/define.ts";
import {
  gradientGraph,
  lossGraph,
  momentNames,
  nextName,
  normGraph,
  RUNNING_MEAN,
  RUNNING_STEPS,
  sumName,
  type Trained,
  type TrainedWeight,
  type TrainingGraph,
  updateGraph,
} from "./training-graph.ts";

export interface TrainerOptions extends Trained {
  readonly config: TransformerConfig;
  readonly loss: Loss;
  readonly lossOptions?: Static<TObject>;
  readonly optimizer: AdamOptions;
  readonly threads?: number;
}

/** Values of weights, and of moments under `momentNames`, by name. */
export type TrainingState = ReadonlyMap<string, Float32Array>;

/** Some of a step's examples: what the model computes at once. */
export interface Pass {
  readonly data: StepData;
  /** Of the step's examples, as the loss counts them; those of a step sum to 1. */
  readonly share: number;
}

/** A loss or a gradient that is no number any more; the weights are those before the step. */
export class NotFinite extends Error {
  override readonly name = "NotFinite";
  readonly metric: string;
  readonly value: number;
  readonly step: number;
  /** Which of the step's passes, from 0; null: all of them together. */
  readonly pass: number | null;

  constructor(of: { metric: string; value: number; step: number; pass: number | null }) {
    super(`the ${of.metric} of step ${of.step} is ${of.value}`);
    this.metric = of.metric;
    this.value = of.value;
    this.step = of.step;
    this.pass = of.pass;
  }
}

/** Of the metric that the loss names: its mean over the steps so far. */
export interface RunningNumbers {
  readonly mean: number;
  readonly steps: number;
}

export class Trainer {
  /** Steps taken. */
  step: number;
  /** Starts at nothing; whoever goes on with a training gives back what was there. */
  running: RunningNumbers = { mean: 0, steps: 0 };
  /** Those that are trained. */
  readonly weights: readonly TrainedWeight[];
  readonly #runtime: Runtime;
  readonly #options: TrainerOptions;
  readonly #metrics: readonly string[];
  /** Weights that are trained and their moments, by name. */
  readonly #state: ReadonlyMap<string, Tensor>;
  /** The other weights. */
  readonly #frozen: ReadonlyMap<string, Tensor>;
  /** Of gradients, by `sumName`. */
  readonly #sums: ReadonlyMap<string, Tensor>;
  readonly #graphs: Graphs;
  /** The forward pass alone; made when it is first asked for. */
  #forward: Session | null = null;

  private constructor(parts: {
    runtime: Runtime;
    options: TrainerOptions;
    graphs: Graphs;
    graph: TrainingGraph;
    state: TrainingState;
    step: number;
  }) {
    this.#runtime = parts.runtime;
    this.#options = parts.options;
    this.#graphs = parts.graphs;
    const { weights, frozen, metrics } = parts.graph;
    this.weights = weights;
    this.#metrics = metrics;
    this.step = parts.step;
    const tensor = (shape: readonly number[], value?: Float32Array) => {
      const made = this.#runtime.tensor("float32", shape);
      if (value) floats(made).set(value);
      return made;
    };
    this.#state = new Map(
      withMoments(weights).map(({ name, shape }) => [name, tensor(shape, parts.state.get(name))]),
    );
    this.#frozen = new Map(
      frozen.map(({ name, shape }) => [
        name,
        this.#runtime.tensor("float32", shape, parts.state.get(name)!),
      ]),
    );
    this.#sums = new Map(weights.map(({ name, shape }) => [sumName(name), tensor(shape)]));
  }

  /**
   * @param state weights by name; moments too when training goes on from a checkpoint (else zero). They are copied,
   * but for weights that are not trained, which must not change while the trainer lives.
   * @throws InvariantError when a weight is missing, or a weight or moment has another size.
   */
  static async create(
    runtime: Runtime,
    options: TrainerOptions,
    state: TrainingState,
    step = 0,
  ): Promise<Trainer> {
    const { config, loss, lossOptions = {}, optimizer, threads } = options;
    const graph = gradientGraph(config, loss, lossOptions, options);
    const { weights } = graph;
    checkState(graph, state);
    const settings = sessionSettings(threads);
    const graphs: Graphs = {
      gradients: await runtime.session(encode(graph.graph), settings),
      norm: await runtime.session(encode(normGraph(weights)), settings),
      update: await runtime.session(encode(updateGraph(weights, optimizer)), settings),
    };
    return new Trainer({ runtime, options, graphs, graph, state, step });
  }

  /** Goes on from a saved state: its weights and moments are copied. @throws InvariantError for one of another training */
  restore({ step, state }: { readonly step: number; readonly state: TrainingState }): void {
    for (const [name, tensor] of this.#state) {
      const values = state.get(name);
      assert(values?.length === floats(tensor).length, `the state has no such ${name}`);
      floats(tensor).set(values);
    }
    this.step = step;
  }

  /** One update from one pass. */
  run(data: StepData): Promise<Record<string, number>> {
    return this.runPasses([{ data, share: 1 }]);
  }

  /**
   * One update; without passes a step that changes nothing, of loss 0.
   * @returns the loss and its metrics, means over the passes by their shares; gradient_norm (before clipping) and
   * learning_rate.
   * @throws NotFinite when a loss or the gradient is not finite: the weights before the step are kept.
   */
  async runPasses(passes: readonly Pass[]): Promise<Record<string, number>> {
    const step = this.step + 1;
    if (passes.length === 0) {
      this.step = step;
      return { loss: 0, gradient_norm: 0, learning_rate: 0 };
    }
    for (const sum of this.#sums.values()) floats(sum).fill(0);
    const found: Record<string, number>[] = [];
    for (const [i, { data, share }] of passes.entries()) {
      const metrics = await this.#addGradients(data, share);
      refuse("loss", metrics["loss"]!, { step, pass: i });
      found.push(metrics);
    }
    const norm = await this.#scalars(this.#graphs.norm, ["gradient_norm"], this.#sums);
    const { gradient_norm } = norm as { gradient_norm: number }; // asked for
    refuse("gradient_norm", gradient_norm, { step, pass: passes.length === 1 ? 0 : null });
    const learningRate = await this.#update(step, gradient_norm);
    this.step = step;
    const means = weightedMeans(found, passes);
    this.#remember(means);
    return { ...means, gradient_norm, learning_rate: learningRate };
  }

  /** The loss and its metrics over some passes; nothing changes. */
  async evaluate(passes: readonly Pass[]): Promise<Record<string, number>> {
    const { config, loss, lossOptions = {}, threads } = this.#options;
    this.#forward ??= await this.#runtime.session(
      encode(lossGraph(config, loss, lossOptions, this.#options).graph),
      sessionSettings(threads),
    );
    const found: Record<string, number>[] = [];
    for (const { data } of passes) {
      const feeds = this.#feeds(data, this.#forward);
      const inputs = new Map([...feeds, ...this.#weights()]);
      found.push(await this.#scalars(this.#forward, this.#metrics, inputs));
      for (const tensor of feeds.values()) tensor.dispose();
    }
    return weightedMeans(found, passes);
  }

  /**
   * All that the model reads, where the trainer keeps it: for whoever runs the model between two steps. A step writes
   * into them; they are the trainer's own to dispose.
   */
  tensors(): ReadonlyMap<string, Tensor> {
    return new Map(this.#weights());
  }

  /** Trained weights and their moments: what a checkpoint keeps. Views, which the next step changes. */
  values(): Map<string, Float32Array> {
    return new Map([...this.#state].map(([name, tensor]) => [name, floats(tensor)]));
  }

  /** The same as copies. */
  state(): Map<string, Float32Array> {
    return new Map([...this.values()].map(([name, values]) => [name, values.slice()]));
  }

  dispose(): void {
    for (const tensors of [this.#state, this.#frozen, this.#sums])
      for (const tensor of tensors.values()) tensor.dispose();
    for (const session of Object.values(this.#graphs)) session.dispose();
    this.#forward?.dispose();
  }

  /** All that the model reads. */
  #weights(): [string, Tensor][] {
    const trained = this.weights.map(({ name }): [string, Tensor] => [
      name,
      this.#state.get(name)!,
    ]);
    return [...trained, ...this.#frozen];
  }

  #remember(metrics: Readonly<Record<string, number>>): void {
    const { runningMean } = this.#options.loss;
    if (runningMean === undefined) return;
    const { mean, steps } = this.running;
    const moved = (metrics[runningMean]! - mean) / (steps + 1);
    this.running = { mean: mean + moved, steps: steps + 1 };
  }

  /** With the running mean, where the session asks for it. */
  #feeds(data: StepData, { inputs }: Session): Map<string, Tensor> {
    const feeds = feedsOf(this.#runtime, data);
    if (!inputs.some(({ name }) => name === RUNNING_MEAN)) return feeds;
    const { mean, steps } = this.running;
    for (const [name, value] of [
      [RUNNING_MEAN, mean],
      [RUNNING_STEPS, steps],
    ] as const)
      feeds.set(name, this.#runtime.tensor("float32", [], Float32Array.of(value)));
    return feeds;
  }

  async #addGradients(data: StepData, share: number): Promise<Record<string, number>> {
    const feeds = this.#feeds(data, this.#graphs.gradients);
    feeds.set("share", this.#runtime.tensor("float32", [], Float32Array.of(share)));
    const inputs = new Map([...feeds, ...this.#weights(), ...this.#sums]);
    try {
      return await this.#scalars(this.#graphs.gradients, this.#metrics, inputs, this.#sums);
    } finally {
      for (const tensor of feeds.values()) tensor.dispose();
    }
  }

  /** @returns the learning rate. */
  async #update(step: number, gradientNorm: number): Promise<number> {
    const scalar = (value: number) => this.#runtime.tensor("float32", [], Float32Array.of(value));
    const at = { step: scalar(step), gradient_norm: scalar(gradientNorm) };
    const inputs = new Map([...Object.entries(at), ...this.#state, ...this.#sums]);
    const rate = await this.#scalars(this.#graphs.update, ["learning_rate"], inputs, this.#state);
    for (const tensor of Object.values(at)) tensor.dispose();
    return rate["learning_rate"]!;
  }

  /** One run. @param replaced inputs whose successors take their place, in the same memory. */
  async #scalars(
    session: Session,
    names: readonly string[],
    inputs: ReadonlyMap<string, Tensor>,
    replaced: ReadonlyMap<string, Tensor> = new Map(),
  ): Promise<Record<string, number>> {
    const scalars = names.map((name) => [name, this.#runtime.tensor("float32", [])] as const);
    const next = [...replaced].map(([name, tensor]) => [nextName(name), tensor] as const);
    const binding: Binding = session.bind({
      inputs: Object.fromEntries(inputs),
      outputs: Object.fromEntries([...scalars, ...next]),
    });
    try {
      await session.run(binding);
      return Object.fromEntries(scalars.map(([name, { data }]) => [name, Number(data[0])]));
    } finally {
      binding.dispose();
      for (const [, tensor] of scalars) tensor.dispose();
    }
  }
}

/**
 * For passes of many shapes: a memory plan would be kept for each of them, and half as much memory again be needed
 * (docs/training.md).
 */
export const sessionSettings = (threads: number | undefined): SessionOptions => ({
  memoryPattern: false,
  ...(threads !== undefined && { threads }),
});

interface Graphs {
  readonly gradients: Session;
  readonly norm: Session;
  readonly update: Session;
}

/** A pass as tensors, to be disposed. */
export function feedsOf(runtime: Runtime, { packed, int64, float32 }: StepData) {
  const shape = [packed.rows, packed.tokensPerRow];
  const feeds = new Map<string, Tensor>([
    ["input_ids", runtime.tensor("int64", shape, packed.ids)],
    ["position_ids", runtime.tensor("int64", shape, packed.positions)],
    ["segment_ids", runtime.tensor("int64", shape, packed.segments)],
  ]);
  for (const [name, data] of Object.entries(int64))
    feeds.set(name, runtime.tensor("int64", [data.length], data));
  for (const [name, data] of Object.entries(float32))
    feeds.set(name, runtime.tensor("float32", [data.length], data));
  return feeds;
}

function refuse(metric: string, value: number, at: { step: number; pass: number | null }): void {
  if (!Number.isFinite(value)) throw new NotFinite({ metric, value, ...at });
}

function weightedMeans(found: readonly Record<string, number>[], passes: readonly Pass[]) {
  const mean = (name: string) =>
    found.reduce((sum, metrics, i) => sum + passes[i]!.share * metrics[name]!, 0);
  return Object.fromEntries(Object.keys(found[0] ?? {}).map((name) => [name, mean(name)]));
}

/** Each weight, followed by its two moments. */
export function withMoments(weights: readonly TrainedWeight[]): TrainedWeight[] {
  return weights.flatMap(({ name, shape }) => {
    const { first, second } = momentNames(name);
    return [name, first, second].map((each) => ({ name: each, shape }));
  });
}

function checkState({ weights, frozen }: TrainingGraph, state: TrainingState): void {
  for (const { name } of [...weights, ...frozen])
    assert(state.has(name), `the weight ${name} has no initial value`);
  for (const { name, shape } of [...withMoments(weights), ...frozen]) {
    const size = state.get(name)?.length ?? elementCount(shape);
    assert(size === elementCount(shape), `${name} has ${size} values, not [${shape.join(", ")}]`);
  }
}

function floats(tensor: Tensor): Float32Array {
  assert(tensor.data instanceof Float32Array, `expected float32, not ${tensor.dtype}`);
  return tensor.data;
}
