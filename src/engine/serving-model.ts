/**
 * One model revision, loaded: its weights in memory, its graph in a session. Knows how to run a batch
 * of one new token each, or several new tokens of one sequence; knows nothing of requests.
 */
import { encode } from "../onnx/encode.ts";
import type { Binding, Provider, Runtime, Session, Tensor } from "../onnx/runtime/index.ts";
import { type Head, servingGraph, type TransformerConfig } from "../onnx/transformer.ts";
import { KvCache } from "./cache.ts";
import type { Turnstile } from "./turnstile.ts";

export interface ModelSource {
  readonly config: TransformerConfig;
  /** Identifies the weights. */
  readonly revision: string;
  /** Float32 values by Hugging Face's names. */
  readonly weights: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;
}

export interface ServingOptions {
  readonly provider: Provider;
  readonly threads?: number;
  /** One run at a time over all models that share it: two at once would fight over the same cores. */
  readonly turnstile: Turnstile;
}

export class ServingModel {
  readonly config: TransformerConfig;
  readonly revision: string;
  readonly head: Head;
  readonly runtime: Runtime;
  /** Milliseconds spent inside ONNX Runtime so far. */
  runMs = 0;
  readonly #session: Session;
  readonly #turnstile: Turnstile;
  readonly #weights: ReadonlyMap<string, Tensor>;

  private constructor(
    source: ModelSource,
    head: Head,
    runtime: Runtime,
    session: Session,
    weights: ReadonlyMap<string, Tensor>,
    turnstile: Turnstile,
  ) {
    this.config = source.config;
    this.revision = source.revision;
    this.head = head;
    this.runtime = runtime;
    this.#session = session;
    this.#weights = weights;
    this.#turnstile = turnstile;
  }

  static async load(
    runtime: Runtime,
    source: ModelSource,
    head: Head,
    options: ServingOptions,
  ): Promise<ServingModel> {
    const graph = servingGraph(source.config, head);
    const wanted = graph.initializers
      .filter(({ data }) => data === null)
      .map(({ value }) => value.name);
    const weights = new Map(
      wanted.map((name) => {
        const { shape, data } = source.weights.get(name)!;
        return [name, runtime.tensor("float32", shape, data)] as const;
      }),
    );
    const session = await runtime.session(encode(graph), {
      provider: options.provider,
      initializers: weights,
      ...(options.threads ? { threads: options.threads } : {}),
    });
    return new ServingModel(source, head, runtime, session, weights, options.turnstile);
  }

  createCache(slots: number): KvCache {
    const { layers, kvHeads, headDim, contextTokens } = this.config;
    return new KvCache(this.runtime, { layers, kvHeads, headDim, capacity: contextTokens }, slots);
  }

  bind(spec: { inputs: Record<string, Tensor>; outputs: Record<string, Tensor> }): Binding {
    return this.#session.bind(spec);
  }

  /** Runs when the turnstile lets it; resolves with the milliseconds the run itself took. */
  async run(binding: Binding): Promise<void> {
    this.runMs += await this.#turnstile.through(() => this.#session.run(binding));
  }

  dispose(): void {
    this.#session.dispose();
    for (const tensor of this.#weights.values()) tensor.dispose();
  }
}
