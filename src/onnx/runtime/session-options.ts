/** The settings of a session, as a native options object that its creation reads once. */
import type { Context } from "./context.ts";
import type { Pointer } from "./functions.ts";
import { created, NativeObject } from "./native.ts";
import { appendProvider, type Provider } from "./providers.ts";
import type { Tensor } from "./tensor.ts";

const graphOptimizations = { none: 0, basic: 1, extended: 2, all: 99 } as const;

export interface SessionOptions {
  /** Default "cpu". */
  readonly provider?: Provider;
  /** Index of the GPU, from 0. */
  readonly device?: number;
  /** Threads within one operator; default: one per physical core. */
  readonly threads?: number;
  /** Idle threads spin, waiting for work: faster runs, busy cores. Default true. */
  readonly spinning?: boolean;
  /**
   * Tensors that stand for the model's initializers of the same names; the session shares their memory
   * and keeps them alive. Writing to them later is seen only with prepacking off and where no constant
   * was folded.
   */
  readonly initializers?: ReadonlyMap<string, Tensor>;
  /** Default "all". */
  readonly graphOptimization?: keyof typeof graphOptimizations;
  /** Kernels may keep a second, rearranged copy of constant weights. Default true. */
  readonly prepacking?: boolean;
  /** Where sessions with the same weights share those copies. */
  readonly prepacked?: PrepackedWeights;
  /** Freed memory is kept for the next run. Default true. */
  readonly arena?: boolean;
  /** The memory plan of a run is kept for the next of the same shapes. Default true. */
  readonly memoryPattern?: boolean;
  /** Writes a profile to a file whose name starts so; `Session.endProfiling` returns the whole name. */
  readonly profilePath?: string;
  /** ONNX Runtime's own session configuration entries. */
  readonly config?: Readonly<Record<string, string>>;
}

/** Rearranged weights that several sessions share. Made by `Runtime.prepackedWeights`. */
export class PrepackedWeights {
  readonly #native: NativeObject;

  constructor({ library: { call } }: Context) {
    const pointer = created((out) => call.CreatePrepackedWeightsContainer(out));
    const release = call.ReleasePrepackedWeightsContainer;
    this.#native = new NativeObject("a container of prepacked weights", pointer, release);
  }

  /** Ends the owner's use; sessions that use it keep it. */
  dispose(): void {
    this.#native.dispose();
  }

  /** For a session, which must drop it once. */
  hold(): NativeObject {
    return this.#native.hold();
  }
}

/**
 * @param initializers the tensors of `options.initializers`, already held by the session to be.
 * @returns the native options, which the caller disposes.
 * @throws GatewayError provider_unavailable, or runtime_failed for a setting that ONNX Runtime refuses.
 */
export function createSessionOptions(
  { library }: Context,
  options: SessionOptions,
  initializers: ReadonlyMap<string, NativeObject>,
): NativeObject {
  const { call } = library;
  const pointer = created((out) => call.CreateSessionOptions(out));
  const native = new NativeObject("session options", pointer, call.ReleaseSessionOptions);
  try {
    appendProvider(library, pointer, options.provider ?? "cpu", options.device ?? 0);
    for (const [name, tensor] of initializers) call.AddInitializer(pointer, name, tensor.pointer);
    for (const [key, value] of Object.entries(configEntries(options))) {
      call.AddSessionConfigEntry(pointer, key, value);
    }
    applySettings(library.call, pointer, options);
    return native;
  } catch (problem) {
    native.dispose();
    throw problem;
  }
}

function configEntries({ spinning, prepacking, config }: SessionOptions): Record<string, string> {
  return {
    ...(spinning === false && { "session.intra_op.allow_spinning": "0" }),
    ...(prepacking === false && { "session.disable_prepacking": "1" }),
    ...config,
  };
}

function applySettings(
  call: Context["library"]["call"],
  pointer: Pointer,
  { graphOptimization = "all", threads, arena, memoryPattern, profilePath }: SessionOptions,
): void {
  call.SetSessionGraphOptimizationLevel(pointer, graphOptimizations[graphOptimization]);
  if (threads !== undefined) call.SetIntraOpNumThreads(pointer, threads);
  if (arena === false) call.DisableCpuMemArena(pointer);
  if (memoryPattern === false) call.DisableMemPattern(pointer);
  if (profilePath !== undefined) call.EnableProfiling(pointer, profilePath);
}
