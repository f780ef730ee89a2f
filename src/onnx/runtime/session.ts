/** A session: one model, loaded and optimised, ready to run. It loads and runs off the event loop. */
import type { DType, TypedArray } from "../dtype.ts";
import { Binding, type BoundSession, type OutputTarget } from "./binding.ts";
import { type Context, createMemoryInfo, takeText } from "./context.ts";
import { describeValues, type ValueInfo } from "./describe.ts";
import type { Pointer } from "./functions.ts";
import type { Lane } from "./lane.ts";
import { created, createdLater, NativeObject } from "./native.ts";
import { deviceMemoryNames, explainCreation, type Provider } from "./providers.ts";
import { createSessionOptions, type SessionOptions } from "./session-options.ts";
import { allocateTensor, type Tensor, zeroTensor } from "./tensor.ts";

export interface BindingSpec {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, OutputTarget>>;
}

export interface RunOptions {
  /** Ends the run between two operators. */
  readonly signal?: AbortSignal;
}

/** An output copied into JavaScript memory. */
export interface Value {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** Made by `Runtime.session`. Several runs, each of its own binding, may be in flight. */
export class Session {
  readonly provider: Provider;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly #parts: SessionParts;

  constructor(parts: SessionParts) {
    this.provider = parts.provider;
    this.inputs = parts.inputs;
    this.outputs = parts.outputs;
    this.#parts = parts;
  }

  /**
   * A reusable binding of tensors to the model's inputs and to those of its outputs that are wanted.
   * @throws InvariantError for a name the model lacks or another element type.
   */
  bind({ inputs, outputs }: BindingSpec): Binding {
    this.#parts.native.assertAlive();
    const binding = new Binding(this.#parts);
    try {
      for (const [name, tensor] of Object.entries(inputs)) binding.setInput(name, tensor);
      for (const [name, target] of Object.entries(outputs)) binding.setOutput(name, target);
      return binding;
    } catch (problem) {
      binding.dispose();
      throw problem;
    }
  }

  /**
   * Runs on libuv's thread pool. JavaScript must not touch the bound tensors until it settles.
   * @throws the signal's reason when aborted before the end: outputs bound in place are then undefined.
   * @throws GatewayError runtime_failed with ONNX Runtime's text, e.g. for shapes that do not fit.
   */
  async run(binding: Binding, { signal }: RunOptions = {}): Promise<void> {
    const { native, lane } = this.#parts;
    native.assertAlive();
    signal?.throwIfAborted();
    binding.begin(native);
    let succeeded = false;
    try {
      await lane.run(() => this.#runInTurn(binding, signal));
      succeeded = true;
    } finally {
      binding.end(succeeded);
    }
  }

  /**
   * The same on the calling thread, for models of a few microseconds and for tools.
   * @throws InvariantError while others are at work on a device that takes turns (WebGPU).
   */
  runSync(binding: Binding): void {
    const { native, context, lane } = this.#parts;
    native.assertAlive();
    binding.begin(native);
    let succeeded = false;
    try {
      lane.now(() => context.library.call.RunWithBinding(native.pointer, null, binding.bindNow()));
      succeeded = true;
    } finally {
      binding.end(succeeded);
    }
  }

  /** One run with its outputs copied into JavaScript memory: all of them, or the named ones. */
  async evaluate(
    feeds: Readonly<Record<string, Tensor>>,
    names: readonly string[] = this.outputs.map((output) => output.name),
  ): Promise<Record<string, Value>> {
    const outputs = Object.fromEntries(names.map((name) => [name, "cpu"] as const));
    const binding = this.bind({ inputs: feeds, outputs });
    try {
      await this.run(binding);
      return Object.fromEntries(names.map((name) => [name, copyValue(binding.output(name))]));
    } finally {
      binding.dispose();
    }
  }

  /**
   * A tensor in the memory this session computes in: a device's, with undefined contents, or for the CPU
   * ordinary memory, zeroed.
   * @throws GatewayError runtime_failed when the memory is not there.
   */
  async deviceTensor<D extends DType>(dtype: D, shape: readonly number[]): Promise<Tensor<D>> {
    const { native, context, allocator, lane } = this.#parts;
    native.assertAlive();
    if (allocator === null) return zeroTensor(context, dtype, shape);
    return lane.run(async () => allocateTensor(context, dtype, shape, { native: allocator, lane }));
  }

  /** Ends profiling. @returns the path of the file written. */
  endProfiling(): string {
    const { native, context } = this.#parts;
    native.assertAlive();
    const { call } = context.library;
    const path = created((out) => call.SessionEndProfiling(native.pointer, context.allocator, out));
    return takeText(context, path);
  }

  get disposed(): boolean {
    return this.#parts.native.disposed;
  }

  async #runInTurn(binding: Binding, signal: AbortSignal | undefined): Promise<void> {
    const { native, context } = this.#parts;
    const { call, later } = context.library;
    signal?.throwIfAborted(); // again: waiting for the turn took time
    const bound = binding.bindNow();
    const options = signal ? created((out) => call.CreateRunOptions(out)) : null;
    const terminate = () => call.RunOptionsSetTerminate(options);
    signal?.addEventListener("abort", terminate);
    try {
      await later.RunWithBinding(native.pointer, options, bound);
    } catch (problem) {
      throw signal?.aborted ? signal.reason : problem;
    } finally {
      signal?.removeEventListener("abort", terminate);
      if (options !== null) call.ReleaseRunOptions(options);
    }
  }

  /** Ends the owner's use; the memory is let go when its runs, bindings and device tensors are gone too. */
  dispose(): void {
    const { native, allocator } = this.#parts;
    native.dispose();
    allocator?.dispose();
  }
}

interface SessionParts extends BoundSession {
  readonly provider: Provider;
  /** Of device memory; null for the CPU. */
  readonly allocator: NativeObject | null;
}

/**
 * Loads a model on libuv's thread pool.
 * @param model a file's path, or its bytes, which must not change until this settles.
 * @throws GatewayError runtime_failed for a model that does not load, provider_unavailable for a device
 * that is not there.
 */
export async function createSession(
  context: Context,
  model: Uint8Array | string,
  options: SessionOptions,
): Promise<Session> {
  const lane = context.lanes[options.provider ?? "cpu"];
  return lane.run(() => createInTurn(context, model, options, lane));
}

async function createInTurn(
  context: Context,
  model: Uint8Array | string,
  options: SessionOptions,
  lane: Lane,
): Promise<Session> {
  const { provider = "cpu", device = 0 } = options;
  const native = await load(context, model, options, lane);
  try {
    const { pointer } = native;
    const inputs = describeValues(context, pointer, "Input");
    const outputs = describeValues(context, pointer, "Output");
    return new Session({
      context,
      native,
      lane,
      provider,
      inputs,
      outputs,
      ...openDevice(context, native, { provider, device, lane }),
    });
  } catch (problem) {
    native.dispose();
    throw problem;
  }
}

async function load(
  context: Context,
  model: Uint8Array | string,
  options: SessionOptions,
  lane: Lane,
): Promise<NativeObject> {
  const initializers = holdAll(options.initializers ?? new Map());
  const prepacked = options.prepacked?.hold();
  const env = context.env.hold();
  const dropAll = () => {
    for (const held of [...initializers.values(), ...(prepacked ? [prepacked] : []), env])
      held.drop();
  };
  try {
    const settings = createSessionOptions(context, options, initializers);
    const pointer = await create(context, model, settings, prepacked?.pointer ?? null)
      .catch((cause: unknown) => {
        throw explainCreation(options.provider ?? "cpu", cause);
      })
      .finally(() => settings.dispose());
    return new NativeObject("a session", pointer, (session) => {
      lane.release(() => {
        context.library.call.ReleaseSession(session);
        dropAll();
      });
    });
  } catch (problem) {
    dropAll();
    throw problem;
  }
}

function create(
  { library: { later }, env }: Context,
  model: Uint8Array | string,
  settings: NativeObject,
  prepacked: Pointer | null,
): Promise<Pointer> {
  const options = settings.pointer;
  return createdLater((out) =>
    typeof model === "string"
      ? later.CreateSessionWithPrepackedWeightsContainer(
          env.pointer,
          model,
          options,
          prepacked,
          out,
        )
      : later.CreateSessionFromArrayWithPrepackedWeightsContainer(
          env.pointer,
          model,
          model.byteLength,
          options,
          prepacked,
          out,
        ),
  );
}

/** Holds every tensor, or none when one of them cannot be held. */
function holdAll(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, NativeObject> {
  const held = new Map<string, NativeObject>();
  try {
    for (const [name, tensor] of tensors) held.set(name, tensor.hold());
    return held;
  } catch (problem) {
    for (const native of held.values()) native.drop();
    throw problem;
  }
}

/** Memory of the session's device. Its tensors hold the allocator, which holds the session. */
function openDevice(
  context: Context,
  native: NativeObject,
  { provider, device, lane }: { provider: Provider; device: number; lane: Lane },
): Pick<SessionParts, "deviceMemory" | "allocator"> {
  const name = deviceMemoryNames[provider];
  if (name === null) return { deviceMemory: context.cpu, allocator: null };
  const { call } = context.library;
  const deviceMemory = createMemoryInfo(context.library, name, device);
  const pointer = createAllocator(call, native, deviceMemory);
  native.hold();
  const allocator = new NativeObject("a device allocator", pointer, (released) => {
    lane.release(() => call.ReleaseAllocator(released));
    deviceMemory.dispose();
    native.drop();
  });
  return { deviceMemory, allocator };
}

function createAllocator(
  call: Context["library"]["call"],
  session: NativeObject,
  memory: NativeObject,
): Pointer {
  try {
    return created((out) => call.CreateAllocator(session.pointer, memory.pointer, out));
  } catch (problem) {
    memory.dispose();
    throw problem;
  }
}

function copyValue({ dtype, shape, data }: Tensor): Value {
  return { dtype, shape, data };
}
