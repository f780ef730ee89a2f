/** The settings of a session, as a native options object that its creation reads once. */
import type { Context } from "./context.ts";
import type { Pointer } from "./functions.ts";
import { created, NativeObject, pointerArray } from "./native.ts";
import { appendProvider, type Provider } from "./providers.ts";
import type { Tensor } from "./tensor.ts";

const graphOptimizations = { none: 0, basic: 1, extended: 2, all: 99 } as const;

export interface SessionOptions {
  /** Default "cpu". */
  readonly provider?: Provider;
  /** Index of the CUDA device, from 0. WebGPU takes the system's preferred adapter. */
  readonly device?: number;
  /** Threads within one operator; default: one per physical core. */
  readonly threads?: number;
  /** Idle threads spin, waiting for work: faster runs, busy cores. Default true. */
  readonly spinning?: boolean;
  /**
   * Tensors in place of the model's initializers of the same names, which it must declare as external
   * data (of any location: no file is read). The session keeps them alive. On the CPU it computes with
   * their memory, shared by all sessions that were given it; what is written there later is seen where
   * the weight was neither prepacked nor folded into another constant. A device gets a copy.
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
  const { provider = "cpu" } = options;
  const pointer = created((out) => call.CreateSessionOptions(out));
  const native = new NativeObject("session options", pointer, call.ReleaseSessionOptions);
  try {
    appendProvider(library, pointer, provider, options.device ?? 0);
    if (initializers.size > 0) shareInitializers(call, pointer, provider, initializers);
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

/**
 * NOTE: neither call does alone. AddExternalInitializers gives the optimiser the values but copies them,
 * which is right for a device. AddInitializer makes the session use the memory itself, but leaves the
 * optimiser to look for the file that the model names.
 */
function shareInitializers(
  call: Context["library"]["call"],
  pointer: Pointer,
  provider: Provider,
  initializers: ReadonlyMap<string, NativeObject>,
): void {
  const names = [...initializers.keys()];
  const values = [...initializers.values()].map((native) => native.pointer);
  call.AddExternalInitializers(pointer, names, pointerArray(values), names.length);
  if (provider !== "cpu") return;
  for (const [name, native] of initializers) call.AddInitializer(pointer, name, native.pointer);
}

function configEntries({ spinning, prepacking, config }: SessionOptions): Record<string, string> {
  return {
    // Threads wait for a run's next operator by spinning, but not for the next run: meanwhile they would take the cores
    // from other sessions, which then take twice as long.
    "session.force_spinning_stop": "1",
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
