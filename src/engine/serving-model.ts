/**
 * One model revision, loaded: its weights in memory, its graph in a session. Knows how to run a batch
 * of one new token each, or several new tokens of one sequence; knows nothing of requests.
 */
import { encode } from "../onnx/encode.ts";
import type { Binding, Provider, Runtime, Session, Tensor } from "../onnx/runtime/index.ts";
import { type NumberFormat, servingGraph } from "../onnx/serving-graph.ts";
import type { Head, TransformerConfig } from "../onnx/transformer.ts";
import { KvCache } from "./cache.ts";
import { servedWeights, type WeightFile } from "./served-weights.ts";
import type { Turnstile } from "./turnstile.ts";

export interface ModelSource extends WeightFile {
  readonly config: TransformerConfig;
}

export interface ServingOptions {
  readonly provider: Provider;
  readonly threads?: number;
  /** How matrices are held; float32 when nothing is said. */
  readonly format?: NumberFormat;
  /** Where matrices in few bits are kept between starts. */
  readonly cacheDir?: string;
  /** One run at a time over all models that share it: two at once would fight over the same cores. */
  readonly turnstile: Turnstile;
}

export class ServingModel {
  readonly config: TransformerConfig;
  readonly revision: string;
  readonly head: Head;
  /** Fewest rows of a batch that get the bits they would get in a larger one. */
  readonly rowsMin: number;
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
    { turnstile, format = "float32" }: ServingOptions,
  ) {
    this.config = source.config;
    // The same weights in fewer bits give other tokens.
    this.revision = format === "float32" ? source.revision : `${source.revision}-${format}`;
    this.head = head;
    this.rowsMin = format === "int4" ? 2 : 1; // the runtime sums a single row's 4-bit products in another order
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
    const graph = servingGraph(source.config, head, options.format);
    const weights = await servedWeights(runtime, graph, source, options.cacheDir ?? null);
    const session = await runtime.session(encode(graph), {
      provider: options.provider,
      initializers: weights,
      ...(options.threads ? { threads: options.threads } : {}),
    });
    return new ServingModel(source, head, runtime, session, weights, options);
  }

  createCache(): KvCache {
    return new KvCache(this.runtime, this.config);
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
