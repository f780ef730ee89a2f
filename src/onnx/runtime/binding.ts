/**
 * A binding: the tensors a session reads and writes, bound once and run many times. An output bound to
 * an input's tensor is computed in place where the operator can.
 */
import { assert } from "../../base/assert.ts";
import type { DType } from "../dtype.ts";
import type { Context } from "./context.ts";
import type { ValueInfo } from "./describe.ts";
import type { Pointer } from "./functions.ts";
import { created, NativeObject, pointersAt } from "./native.ts";
import { adoptTensor, type Tensor } from "./tensor.ts";

/** A tensor to write to, or the memory in which every run allocates a new one. */
export type OutputTarget = Tensor | "cpu" | "device";

/** What a binding needs to know of its session. */
export interface BoundSession {
  readonly context: Context;
  readonly native: NativeObject;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** The OrtMemoryInfo of the device's memory; ordinary memory's for the CPU provider. */
  readonly deviceMemory: NativeObject;
}

/** Made by `Session.bind`; runs one at a time. */
export class Binding {
  readonly #session: BoundSession;
  readonly #native: NativeObject;
  /** What the native binding points to, under "input name" and "output name". */
  readonly #held = new Map<string, NativeObject>();
  /** In the order of first binding, which is the native order of the values too. */
  readonly #targets = new Map<string, OutputTarget>();
  /** The tensors that the last run allocated; null until asked for. */
  #allocated: ReadonlyMap<string, Tensor> | null = null;
  #hasRun = false;
  #running = false;

  constructor(session: BoundSession) {
    const { call } = session.context.library;
    const held = this.#held;
    const pointer = created((out) => call.CreateIoBinding(session.native.pointer, out));
    session.native.hold();
    this.#session = session;
    this.#native = new NativeObject("a binding", pointer, (binding) => {
      call.ReleaseIoBinding(binding);
      for (const tensor of held.values()) tensor.drop();
      session.native.drop();
    });
  }

  /**
   * Binds an input of the runs to come, in place of an earlier tensor.
   * @throws InvariantError for an unknown name, another element type, or during a run.
   */
  setInput(name: string, tensor: Tensor): void {
    this.#assertIdle();
    checkType(find(this.#session.inputs, "input", name), tensor.dtype);
    this.#holdFor(`input ${name}`, tensor, (value) =>
      this.#call.BindInput(this.#native.pointer, name, value),
    );
  }

  /**
   * Binds an output of the runs to come, in place of an earlier target.
   * @param target a tensor of the right shape, or a kind of memory, for a result of any shape.
   * @throws InvariantError for an unknown name, another element type, or during a run.
   */
  setOutput(name: string, target: OutputTarget): void {
    this.#assertIdle();
    const output = find(this.#session.outputs, "output", name);
    this.#dropAllocated();
    if (typeof target === "string") {
      this.#bindMemory(name, target);
      this.#dropFor(`output ${name}`);
    } else {
      checkType(output, target.dtype);
      this.#holdFor(`output ${name}`, target, (value) =>
        this.#call.BindOutput(this.#native.pointer, name, value),
      );
    }
    this.#targets.set(name, target);
  }

  /**
   * The result of the last run: the bound tensor, or the one allocated for it, which the binding owns
   * until its next run or disposal (what else it is bound to by then keeps it alive).
   * @throws InvariantError for an output that is not bound, before the first run, and during one.
   */
  output(name: string): Tensor {
    this.#assertIdle();
    const target = this.#targets.get(name);
    assert(target !== undefined, `the output '${name}' is not bound`);
    if (typeof target !== "string") return target;
    assert(this.#hasRun, `the output '${name}' has no value before the first run`);
    this.#allocated ??= this.#collectAllocated();
    return this.#allocated.get(name)!;
  }

  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** Ends the owner's use; a run in flight still finishes, and then the memory is let go. */
  dispose(): void {
    if (this.#native.disposed) return;
    if (!this.#running) this.#dropAllocated();
    this.#native.dispose();
  }

  /**
   * For `Session.run`, which must call `end`: the native binding, kept alive, with a fresh place for
   * every output that the run allocates. Without that, the last run's would be written again.
   * @throws InvariantError when it belongs to another session, was disposed, or a run is in flight.
   */
  begin(session: NativeObject): Pointer {
    this.#assertIdle();
    assert(this.#session.native === session, "a binding runs on the session that made it");
    this.#dropAllocated();
    if (this.#hasRun) {
      for (const [name, target] of this.#targets) {
        if (typeof target === "string") this.#bindMemory(name, target);
      }
    }
    this.#running = true;
    return this.#native.hold().pointer;
  }

  end(): void {
    this.#running = false;
    this.#hasRun = true;
    this.#native.drop();
  }

  get #call() {
    return this.#session.context.library.call;
  }

  #assertIdle(): void {
    this.#native.assertAlive();
    assert(!this.#running, "a run of this binding is in flight");
  }

  #bindMemory(name: string, kind: "cpu" | "device"): void {
    const { context, deviceMemory } = this.#session;
    const memory = kind === "cpu" ? context.cpu : deviceMemory;
    this.#call.BindOutputToDevice(this.#native.pointer, name, memory.pointer);
  }

  /** The new tensor is held before the old one is let go: they may be the same. */
  #holdFor(key: string, tensor: Tensor, bind: (value: Pointer) => void): void {
    const native = tensor.hold();
    try {
      bind(native.pointer);
    } catch (problem) {
      native.drop();
      throw problem;
    }
    this.#dropFor(key);
    this.#held.set(key, native);
  }

  #dropFor(key: string): void {
    this.#held.get(key)?.drop();
    this.#held.delete(key);
  }

  #dropAllocated(): void {
    for (const tensor of this.#allocated?.values() ?? []) tensor.dispose();
    this.#allocated = null;
  }

  /** Takes every bound output's value from native code; those of bound tensors are given back. */
  #collectAllocated(): ReadonlyMap<string, Tensor> {
    const { context, deviceMemory } = this.#session;
    const allocated = new Map<string, Tensor>();
    const values = this.#boundValues();
    for (const [i, [name, target]] of [...this.#targets].entries()) {
      if (typeof target === "string") {
        const isDevice = target === "device" && deviceMemory !== context.cpu;
        allocated.set(name, adoptTensor(context, values[i]!, isDevice ? "device" : "cpu"));
      } else {
        this.#call.ReleaseValue(values[i]!);
      }
    }
    return allocated;
  }

  #boundValues(): Pointer[] {
    const { allocator } = this.#session.context;
    const count = new BigUint64Array(1);
    const array = created((out) =>
      this.#call.GetBoundOutputValues(this.#native.pointer, allocator, out, count),
    );
    const values = pointersAt(array, Number(count[0]));
    this.#call.AllocatorFree(allocator, array);
    return values;
  }
}

function find(values: readonly ValueInfo[], side: string, name: string): ValueInfo {
  const found = values.find((value) => value.name === name);
  const names = () => values.map((value) => value.name).join(", ");
  assert(found !== undefined, `the session has no ${side} '${name}', it has: ${names()}`);
  return found;
}

// NOTE: ONNX Runtime checks an input's type, but not that of memory bound to an output: a kernel that
// copies bytes would write past the end of a smaller type.
function checkType(value: ValueInfo, dtype: DType): void {
  assert(value.dtype === dtype, `'${value.name}' is ${value.dtype}, the tensor ${dtype}`);
}
