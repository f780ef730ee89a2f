/**
 * One model revision, loaded: its weights in memory, its graph in a session. Knows how to run a batch
 * of one new token each, or several new tokens of one sequence; knows nothing of requests.
 */
import { encode } from "../onnx/encode.ts";
import type { Graph } from "../onnx/graph.ts";
import type {
  Binding,
  PrepackedWeights,
  Provider,
  Runtime,
  Session,
  Tensor,
} from "../onnx/runtime/index.ts";
import { servingGraph } from "../onnx/serving-graph.ts";
import type { NumberFormat } from "../onnx/serving-weights.ts";
import type { Head, TransformerConfig } from "../onnx/transformer.ts";
import { AdapterBank, type NamedAdapter } from "./adapter-bank.ts";
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
  readonly #options: ServingOptions;
  readonly #weights: ReadonlyMap<string, Tensor>;
  readonly #prepacked: PrepackedWeights;
  readonly #plain: Session;
  /** Its graph has inputs for the modules of `bank`; null while there are no adapters. */
  #adapted: Session | null = null;
  #bank: AdapterBank | null = null;

  private constructor(parts: LoadedParts, head: Head, options: ServingOptions) {
    const { format = "float32" } = options;
    this.config = parts.source.config;
    // The same weights in fewer bits give other tokens.
    this.revision = parts.source.revision + (format === "float32" ? "" : `-${format}`);
    this.head = head;
    this.rowsMin = format === "int4" ? 2 : 1; // the runtime sums a single row's 4-bit products in another order
    this.runtime = parts.runtime;
    this.#options = options;
    this.#weights = parts.weights;
    this.#prepacked = parts.prepacked;
    this.#plain = parts.session;
  }

  static async load(
    runtime: Runtime,
    source: ModelSource,
    head: Head,
    options: ServingOptions,
  ): Promise<ServingModel> {
    const graph = servingGraph(source.config, head, options);
    const weights = await servedWeights(runtime, graph, source, options.cacheDir ?? null);
    const prepacked = runtime.prepackedWeights();
    const session = await openSession(graph, { runtime, weights, prepacked }, options);
    return new ServingModel({ runtime, source, weights, prepacked, session }, head, options);
  }

  /** Whose columns `adapter_columns` has; null when the graph has no such input. */
  get bank(): AdapterBank | null {
    return this.#bank;
  }

  /**
   * Makes ready what serving these adapters takes, while the model goes on serving others.
   * @returns puts them in place of those before; to be called between two runs, once.
   */
  async prepareAdapters(adapters: readonly NamedAdapter[]): Promise<() => void> {
    const bank = adapters.length > 0 ? new AdapterBank(this.runtime, adapters) : null;
    const isSameGraph = bank !== null && bank.modules.join() === this.#bank?.modules.join();
    const session = bank && !isSameGraph ? await this.#openAdapted(bank) : null;
    return () => {
      if (!isSameGraph) {
        this.#adapted?.dispose();
        this.#adapted = session;
      }
      this.#bank?.dispose();
      this.#bank = bank;
    };
  }

  createCache(): KvCache {
    return new KvCache(this.runtime, this.config);
  }

  /** For the graph of now: with adapters it takes `adapter_columns` too. */
  bind(spec: { inputs: Record<string, Tensor>; outputs: Record<string, Tensor> }): Binding {
    if (!this.#bank) return this.#plain.bind(spec);
    return this.#adapted!.bind({
      inputs: { ...spec.inputs, ...this.#bank.tensors },
      outputs: spec.outputs,
    });
  }

  /** Runs when the turnstile lets it; resolves with the milliseconds the run itself took. */
  async run(binding: Binding): Promise<void> {
    const session = this.#adapted ?? this.#plain;
    this.runMs += await this.#options.turnstile.through(() => session.run(binding));
  }

  dispose(): void {
    this.#plain.dispose();
    this.#adapted?.dispose();
    this.#bank?.dispose();
    this.#prepacked.dispose();
    for (const tensor of this.#weights.values()) tensor.dispose();
  }

  async #openAdapted(bank: AdapterBank): Promise<Session> {
    const { format } = this.#options;
    const graph = servingGraph(this.config, this.head, { format, adapted: bank.modules });
    const parts = { runtime: this.runtime, weights: this.#weights, prepacked: this.#prepacked };
    try {
      return await openSession(graph, parts, this.#options);
    } catch (error) {
      bank.dispose();
      throw error;
    }
  }
}

interface SessionParts {
  readonly runtime: Runtime;
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Shared by the sessions with and without adapters. */
  readonly prepacked: PrepackedWeights;
}

interface LoadedParts extends SessionParts {
  readonly source: ModelSource;
  readonly session: Session;
}

function openSession(
  graph: Graph,
  { runtime, weights, prepacked }: SessionParts,
  { provider, threads }: ServingOptions,
): Promise<Session> {
  return runtime.session(encode(graph), {
    provider,
    initializers: weights,
    prepacked,
    ...(threads ? { threads } : {}),
  });
}
