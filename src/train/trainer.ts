/**
 * The only training loop: one run of one graph a step. Weights and moments live in two sets of
 * tensors; a step reads one and writes the other, so that no operator can see a half-updated weight.
 * Weights that are not trained are there once, in the memory they were given in.
 */
import type { Static, TObject } from "typebox";
import { assert } from "../base/assert.ts";
import { elementCount } from "../onnx/dtype.ts";
import { encode } from "../onnx/encode.ts";
import type { AdamOptions } from "../onnx/optimizers.ts";
import type { Binding, Runtime, Session, Tensor } from "../onnx/runtime/index.ts";
import type { TransformerConfig } from "../onnx/transformer.ts";
import type { StepData } from "./batches.ts";
import type { Loss } from "./losses/define.ts";
import {
  momentNames,
  nextName,
  type Trained,
  type TrainedWeight,
  type TrainingGraph,
  trainingGraph,
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

export class Trainer {
  /** Steps taken. */
  step: number;
  /** Those that are trained. */
  readonly weights: readonly TrainedWeight[];
  readonly #runtime: Runtime;
  readonly #session: Session;
  readonly #metrics: readonly string[];
  readonly #frozen: Readonly<Record<string, Tensor>>;
  /** Current and next values; they change places after every step. */
  #current: Map<string, Tensor>;
  #next: Map<string, Tensor>;

  private constructor(parts: {
    runtime: Runtime;
    session: Session;
    graph: TrainingGraph;
    state: TrainingState;
    step: number;
  }) {
    this.#runtime = parts.runtime;
    this.#session = parts.session;
    this.weights = parts.graph.weights;
    this.#metrics = parts.graph.metrics;
    this.step = parts.step;
    this.#frozen = Object.fromEntries(
      parts.graph.frozen.map(({ name, shape }) => {
        return [name, parts.runtime.tensor("float32", shape, parts.state.get(name)!)];
      }),
    );
    this.#current = this.#tensors((name) => parts.state.get(name));
    this.#next = this.#tensors(() => undefined);
  }

  /**
   * @param state weights by name, trained or not; moments too when training goes on from a checkpoint (else zero).
   * Values of weights that are not trained must not change while the trainer lives.
   * @throws InvariantError when a weight is missing, or a weight or moment has another size.
   */
  static async create(
    runtime: Runtime,
    options: TrainerOptions,
    state: TrainingState,
    step = 0,
  ): Promise<Trainer> {
    const { config, loss, lossOptions = {}, optimizer, threads } = options;
    const graph = trainingGraph(config, loss, lossOptions, optimizer, options);
    checkState(graph, state);
    const session = await runtime.session(encode(graph.graph), threads ? { threads } : {});
    return new Trainer({ runtime, session, graph, state, step });
  }

  /**
   * One update.
   * @returns the loss, its metrics, gradient_norm (before clipping) and learning_rate.
   * @throws InvariantError when the loss or the gradient is not finite: the weights before the step are kept.
   */
  async run(data: StepData): Promise<Record<string, number>> {
    const scalars = new Map(
      this.#metrics.map((name) => [name, this.#runtime.tensor("float32", [])]),
    );
    const feeds = this.#feeds(data);
    const binding = this.#bind(feeds, scalars);
    try {
      await this.#session.run(binding);
      const metrics = Object.fromEntries(
        [...scalars].map(([name, { data }]) => [name, Number(data[0])]),
      );
      for (const name of ["loss", "gradient_norm"]) {
        const value = metrics[name];
        assert(Number.isFinite(value), `the ${name} of step ${this.step + 1} is ${value}`);
      }
      [this.#current, this.#next] = [this.#next, this.#current];
      this.step += 1;
      return metrics;
    } finally {
      binding.dispose();
      for (const tensor of [...scalars.values(), ...Object.values(feeds)]) tensor.dispose();
    }
  }

  /** Copies of the trained weights and their moments: what a checkpoint keeps. */
  state(): Map<string, Float32Array> {
    return new Map([...this.#current].map(([name, tensor]) => [name, floats(tensor).slice()]));
  }

  dispose(): void {
    const own = [...this.#current.values(), ...this.#next.values(), ...Object.values(this.#frozen)];
    for (const tensor of own) tensor.dispose();
    this.#session.dispose();
  }

  #tensors(initial: (name: string) => Float32Array | undefined): Map<string, Tensor> {
    return new Map(
      withMoments(this.weights).map(({ name, shape }) => {
        const tensor = this.#runtime.tensor("float32", shape);
        const value = initial(name);
        if (value) floats(tensor).set(value);
        return [name, tensor];
      }),
    );
  }

  #feeds({ packed, int64, float32 }: StepData): Record<string, Tensor> {
    const shape = [packed.rows, packed.tokensPerRow];
    const feeds: Record<string, Tensor> = {
      input_ids: this.#runtime.tensor("int64", shape, packed.ids),
      position_ids: this.#runtime.tensor("int64", shape, packed.positions),
      segment_ids: this.#runtime.tensor("int64", shape, packed.segments),
      step: this.#runtime.tensor("float32", [], Float32Array.of(this.step + 1)),
    };
    for (const [name, data] of Object.entries(int64))
      feeds[name] = this.#runtime.tensor("int64", [data.length], data);
    for (const [name, data] of Object.entries(float32))
      feeds[name] = this.#runtime.tensor("float32", [data.length], data);
    return feeds;
  }

  #bind(feeds: Record<string, Tensor>, scalars: ReadonlyMap<string, Tensor>): Binding {
    const next = [...this.#next].map(([name, tensor]) => [nextName(name), tensor] as const);
    return this.#session.bind({
      inputs: { ...feeds, ...this.#frozen, ...Object.fromEntries(this.#current) },
      outputs: Object.fromEntries([...scalars, ...next]),
    });
  }
}

/** Each weight, followed by its two moments. */
function withMoments(weights: readonly TrainedWeight[]): TrainedWeight[] {
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
