/** The way in: one ONNX Runtime environment, from which tensors and sessions are made. */
import type { DType, TypedArray } from "../dtype.ts";
import { type Context, hardwareProviders, type LogLevel, openContext } from "./context.ts";
import { copyTensors } from "./copy.ts";
import { createSession, type Session } from "./session.ts";
import { PrepackedWeights, type SessionOptions } from "./session-options.ts";
import { type Tensor, wrapTensor, zeroTensor } from "./tensor.ts";

export interface RuntimeOptions {
  /** ONNX Runtime's own messages, on standard error, from this level on. Default "fatal", for
   * what fails is thrown with the same text. */
  readonly logLevel?: LogLevel;
}

/**
 * Loads ONNX Runtime and opens its environment.
 * @throws GatewayError provider_unavailable when the library is missing, does not load, or is too old.
 */
export function openRuntime({ logLevel = "fatal" }: RuntimeOptions = {}): Runtime {
  return new Runtime(openContext(logLevel));
}

/** Made by `openRuntime`. */
export class Runtime {
  /** ONNX Runtime's, as "1.30.0". */
  readonly version: string;
  readonly #context: Context;

  constructor(context: Context) {
    this.version = context.library.version;
    this.#context = context;
  }

  /**
   * Loads a model off the event loop.
   * @param model a file's path, or its bytes, which must not change until this settles.
   * @throws GatewayError runtime_failed for a model that does not load, provider_unavailable for a device
   * that is not there.
   */
  session(model: Uint8Array | string, options: SessionOptions = {}): Promise<Session> {
    this.#context.env.assertAlive();
    return createSession(this.#context, model, options);
  }

  /**
   * A tensor over `data` itself, or over zeros of its own. Nothing is copied, now or in a run.
   * @throws InvariantError when data, element type and shape disagree.
   */
  tensor<D extends DType>(dtype: D, shape: readonly number[], data?: TypedArray<D>): Tensor<D> {
    this.#context.env.assertAlive();
    return data
      ? wrapTensor(this.#context, dtype, shape, data)
      : zeroTensor(this.#context, dtype, shape);
  }

  /** Whether WebGPU would find a graphics processor, and not only a driver that computes on the CPU. */
  get hasGraphicsDevice(): boolean {
    this.#context.env.assertAlive();
    return hardwareProviders(this.#context).includes("WebGpuExecutionProvider");
  }

  /** Where sessions with the same weights share their rearranged copies. */
  prepackedWeights(): PrepackedWeights {
    this.#context.env.assertAlive();
    return new PrepackedWeights(this.#context);
  }

  /**
   * Copies tensors pair by pair between any kinds of memory; to and from a device off the event loop.
   * @throws InvariantError when a pair differs in element type or number of elements, or the target is
   * an output that ONNX Runtime allocated in ordinary memory.
   * @throws GatewayError runtime_failed when ONNX Runtime has no way between the two memories.
   */
  async copy(from: readonly Tensor[], to: readonly Tensor[]): Promise<void> {
    this.#context.env.assertAlive();
    await copyTensors(this.#context, from, to);
  }

  get disposed(): boolean {
    return this.#context.env.disposed;
  }

  /** Ends the owner's use; sessions that are still open keep the environment until they end. */
  dispose(): void {
    this.#context.env.dispose();
  }
}
