/**
 * One model revision, loaded: its weights in memory, its graph in a session. Knows how to run a batch
 * of one new token each, or several new tokens of one sequence; knows nothing of requests.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import { encode } from "../onnx/encode.ts";
import type {
  OutputTarget,
  PrepackedWeights,
  Provider,
  Runtime,
  Session,
  Tensor,
} from "../onnx/runtime/index.ts";
import { servingGraph } from "../onnx/serving-graph.ts";
import { cacheType, type NumberFormat, type ServingGraphOptions } from "../onnx/serving-weights.ts";
import { severalTokensGraph } from "../onnx/several-tokens-graph.ts";
import type { Head, TransformerConfig } from "../onnx/transformer.ts";
import { AdapterBank, type NamedAdapter } from "./adapter-bank.ts";
import { Batches, type BatchesOptions } from "./batches.ts";
import { bytesPerToken, KvCache, type SlotCache } from "./cache.ts";
import { Device } from "./device.ts";
import { DeviceCache } from "./device-cache.ts";
import type { PolicyModel } from "./policy-model.ts";
import { PromptRunner } from "./prompt-runner.ts";
import { servedWeights, type WeightFile } from "./served-weights.ts";
import { DeviceHead, HostHead, type StepHead } from "./step-head.ts";
import type { Turnstile } from "./turnstile.ts";

export interface ModelSource extends WeightFile {
  readonly config: TransformerConfig;
}

/** A model whose weights somebody else holds, and changes between runs. */
export interface LiveSource {
  readonly config: TransformerConfig;
  readonly revision: string;
  /** By the checkpoint's names, float32; whoever made them disposes them. */
  readonly tensors: ReadonlyMap<string, Tensor>;
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

export class ServingModel implements PolicyModel {
  readonly config: TransformerConfig;
  readonly revision: string;
  readonly head: Head;
  /** Fewest rows of a batch that get the bits they would get in a larger one. */
  readonly rowsMin: number;
  readonly runtime: Runtime;
  /** Milliseconds spent inside ONNX Runtime so far. */
  runMs = 0;
  readonly #options: ServingOptions;
  /** Where it computes, if not in ordinary memory. */
  readonly #device: Device | null;
  /** In that memory. On a device every run is fed them, so that they are there once for all sessions. */
  readonly #weights: ReadonlyMap<string, Tensor>;
  /** They are somebody else's and may change between runs, so every run is fed them, and nothing is made of them. */
  readonly #isLive: boolean;
  readonly #prepacked: PrepackedWeights;
  /** By graph and the modules that adapters add to; opened when first asked for. */
  readonly #sessions = new Map<string, Promise<Session>>();
  #bank: AdapterBank | null = null;

  private constructor(parts: LoadedParts, head: Head, options: ServingOptions) {
    const { format = "float32" } = options;
    this.config = parts.source.config;
    // The same weights in fewer bits give other tokens.
    this.revision = parts.source.revision + (format === "float32" ? "" : `-${format}`);
    this.head = head;
    this.#isLive = parts.isLive;
    // The runtime sums a single row's product in another order, with 4-bit weights and with those it has not rearranged.
    this.rowsMin = format === "int4" || parts.isLive ? 2 : 1;
    this.runtime = parts.runtime;
    this.#options = options;
    this.#device = parts.device;
    this.#weights = parts.weights;
    this.#prepacked = parts.runtime.prepackedWeights();
  }

  static async load(
    runtime: Runtime,
    source: ModelSource,
    head: Head,
    options: ServingOptions,
  ): Promise<ServingModel> {
    const graph = servingGraph(source.config, head, options);
    const device = await openDevice(runtime, source.config, options);
    const weights = await servedWeights(runtime, graph, source, options.cacheDir ?? null);
    for (const [name, tensor] of device ? weights : []) {
      weights.set(name, await device!.upload(tensor));
    }
    const parts = { runtime, source, weights, device, isLive: false };
    const model = new ServingModel(parts, head, options);
    await model.#session("serving", []);
    return model;
  }

  /**
   * On the CPU, over weights in the memory of a trainer: no copy of them, and nothing to do after they have changed.
   * Keys and values from before must then not be used any more.
   */
  static async live(
    runtime: Runtime,
    source: LiveSource,
    options: Omit<ServingOptions, "provider" | "format" | "cacheDir">,
  ): Promise<ServingModel> {
    const serving = { ...options, provider: "cpu" } as const;
    const { tensors: weights } = source;
    const parts = { runtime, source, weights, device: null, isLive: true };
    const model = new ServingModel(parts, "logits", serving);
    await model.#session("serving", []);
    return model;
  }

  /** Keys and values of one token in all layers. */
  get bytesPerToken(): number {
    return bytesPerToken({ ...this.config, dtype: cacheType(this.#options) });
  }

  /** Whether rows can share a prefix, or have several tokens a step. No device has all operators of such graphs. */
  get sharesPrefixes(): boolean {
    return this.#device === null;
  }

  /** Whose columns `adapter_columns` has; null when the graph has no such input. */
  get bank(): AdapterBank | null {
    return this.#bank;
  }

  /**
   * Makes ready what serving these adapters takes, while the model goes on serving others.
   * @returns puts them in place of those before; to be called between two runs, once.
   */
  async prepareAdapters(adapters: readonly NamedAdapter[]): Promise<() => Promise<void>> {
    const bank = adapters.length > 0 ? new AdapterBank(this.runtime, adapters) : null;
    try {
      if (this.#device) await bank?.upload(this.#device);
      await this.#session("serving", bank?.modules ?? []);
    } catch (error) {
      bank?.dispose();
      throw error;
    }
    return async () => {
      this.#bank?.dispose();
      this.#bank = bank;
      await this.#closeSessionsBut(["", modulesKey(bank?.modules ?? [])]);
    };
  }

  createBatches(options: BatchesOptions): Batches {
    return new Batches(this, options);
  }

  createPromptRunner(): PromptRunner {
    return new PromptRunner(this);
  }

  quiet(): Promise<void> {
    return this.#options.turnstile.quiet();
  }

  createCache(): SlotCache {
    if (this.#device) return new DeviceCache(this.#device);
    return new KvCache(this.runtime, this.config);
  }

  /** @throws GatewayError invalid_request where no alternatives are judged side by side. */
  refuseGrowing(): void {
    if (this.sharesPrefixes) return;
    const problem = `a reward model judges alternatives for a token on the CPU only, and this one is on '${this.#options.provider}'; set PLUMBLINE_DEVICE to cpu, or ask for another strategy`;
    throw new GatewayError("invalid_request", { param: "alignment.strategy", problem });
  }

  /** For a prefix that rows share, where `sharesPrefixes`. */
  createPrefix(): KvCache {
    assert(this.sharesPrefixes, "rows share no prefix on a device");
    return new KvCache(this.runtime, this.config);
  }

  /** Of runs with so many rows at most. */
  createHead(rowsMax: number): StepHead {
    if (this.#device) return new DeviceHead(this.#device, rowsMax);
    return new HostHead(this.runtime, this.config.vocabSize, rowsMax);
  }

  /** Tensors for a graph, as it is with the adapters of now. */
  async bind(
    { inputs, outputs }: { inputs: Record<string, Tensor>; outputs: Record<string, OutputTarget> },
    graph: GraphKind = "serving",
  ): Promise<BoundRun> {
    const bank = this.#bank;
    const session = await this.#session(graph, bank?.modules ?? []);
    const fed = this.#device || this.#isLive ? Object.fromEntries(this.#weights) : {};
    const binding = session.bind({ inputs: { ...inputs, ...fed, ...bank?.tensors }, outputs });
    return {
      output: (name) => binding.output(name),
      run: async () => {
        this.runMs += await this.#options.turnstile.through(() => session.run(binding));
      },
      dispose: () => binding.dispose(),
    };
  }

  async dispose(): Promise<void> {
    await this.#closeSessionsBut([]);
    this.#bank?.dispose();
    this.#prepacked.dispose();
    if (!this.#isLive) for (const tensor of this.#weights.values()) tensor.dispose();
    this.#device?.dispose();
  }

  #session(kind: GraphKind, modules: readonly string[]): Promise<Session> {
    const key = `${kind}:${modulesKey(modules)}`;
    const known = this.#sessions.get(key);
    if (known) return known;
    const opening = this.#open(kind, modules);
    this.#sessions.set(key, opening);
    opening.catch(() => this.#sessions.delete(key)); // who asked is told; the next one tries again
    return opening;
  }

  #open(kind: GraphKind, adapted: readonly string[]): Promise<Session> {
    const { format, provider, threads } = this.#options;
    const separate = this.#isLive;
    const graph = graphs[kind](this.config, this.head, { format, provider, adapted, separate });
    if (this.#device) return this.runtime.session(encode(graph, "fed"), { provider });
    if (this.#isLive) {
      return this.runtime.session(encode(graph, "fed"), threads ? { threads } : {});
    }
    return this.runtime.session(encode(graph), {
      provider,
      initializers: this.#weights,
      prepacked: this.#prepacked,
      ...(threads ? { threads } : {}),
    });
  }

  async #closeSessionsBut(kept: readonly string[]): Promise<void> {
    const gone = [...this.#sessions].filter(([key]) => !kept.includes(key.split(":")[1]!));
    for (const [key] of gone) this.#sessions.delete(key);
    for (const [, session] of gone) (await session).dispose();
  }
}

/**
 * serving: a new token for each of several rows, or several for one row, by the runtime's cached attention; several:
 * several for each of several; shared-prefix: the same after a prefix that all rows share; alternatives: several for
 * each of several, by alternatives that do not see each other.
 */
const graphs = {
  serving: servingGraph,
  several: (config: TransformerConfig, head: Head, options: ServingGraphOptions) =>
    severalTokensGraph(config, head, { ...options, hasPrefix: false }),
  "shared-prefix": (config: TransformerConfig, head: Head, options: ServingGraphOptions) =>
    severalTokensGraph(config, head, { ...options, hasPrefix: true }),
  alternatives: (config: TransformerConfig, head: Head, options: ServingGraphOptions) =>
    severalTokensGraph(config, head, { ...options, hasPrefix: false, hasAlternatives: true }),
} as const;

export type GraphKind = keyof typeof graphs;

/** Runs when the turnstile lets it, as often as wanted. */
export interface BoundRun {
  run(): Promise<void>;
  /** After a run, until the next. */
  output(name: string): Tensor;
  dispose(): void;
}

const modulesKey = (modules: readonly string[]) => modules.join();

interface LoadedParts {
  readonly runtime: Runtime;
  readonly source: Pick<ModelSource, "config" | "revision">;
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly device: Device | null;
  readonly isLive: boolean;
}

/** @throws GatewayError format_unavailable, provider_unavailable */
async function openDevice(
  runtime: Runtime,
  config: TransformerConfig,
  options: ServingOptions,
): Promise<Device | null> {
  const { provider, format } = options;
  if (provider === "cpu") {
    if (format !== "float16") return null;
    const problem = "its kernels compute in float32 and would gain nothing";
    throw new GatewayError("format_unavailable", { format, provider, problem });
  }
  const dtype = cacheType(options);
  const device = await Device.open(runtime, provider, { ...config, dtype });
  try {
    await device.check();
    return device;
  } catch (cause) {
    device.dispose();
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new GatewayError("format_unavailable", { format: dtype, provider, problem }, { cause });
  }
}
