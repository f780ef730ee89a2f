/**
 * A binding: the tensors a session reads and writes, bound once and run many times. An output bound to
 * an input's tensor is computed in place where the operator can.
 */
import { assert } from "../../base/assert.ts";
import type { DType } from "../dtype.ts";
import type { Context } from "./context.ts";
import type { ValueInfo } from "./describe.ts";
import type { Pointer } from "./functions.ts";
import type { Lane } from "./lane.ts";
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
  /** Its turns at the device. */
  readonly lane: Lane;
}

/** Made by `Session.bind`; runs one at a time. */
export class Binding {
  readonly #session: BoundSession;
  readonly #native: NativeObject;
  readonly #inputs = new Map<string, Tensor>();
  /** In the order of first binding, which is the native order of the values too. */
  readonly #targets = new Map<string, OutputTarget>();
  /** What native code points to, under "input name" and "output name". */
  readonly #held = new Map<string, NativeObject>();
  /** The keys of #held, and of memory targets, that native code has not been told of yet. */
  readonly #changed = new Set<string>();
  /** The tensors that the last run allocated; null until asked for. */
  #allocated: ReadonlyMap<string, Tensor> | null = null;
  #hasResult = false;
  #running = false;

  constructor(session: BoundSession) {
    const { call } = session.context.library;
    const held = this.#held;
    const pointer = created((out) => call.CreateIoBinding(session.native.pointer, out));
    session.native.hold();
    this.#session = session;
    this.#native = new NativeObject("a binding", pointer, (binding) => {
      session.lane.release(() => call.ReleaseIoBinding(binding));
      for (const tensor of held.values()) tensor.drop();
      session.native.drop();
    });
  }

  /**
   * Binds an input of the runs to come, in place of an earlier tensor. Each run reads what the tensor
   * holds then.
   * @throws InvariantError for an unknown name, another element type, or during a run.
   */
  setInput(name: string, tensor: Tensor): void {
    this.#assertIdle();
    checkType(find(this.#session.inputs, "input", name), tensor.dtype);
    this.#replaceHeld(`input ${name}`, tensor);
    this.#inputs.set(name, tensor);
  }

  /**
   * Binds an output of the runs to come, in place of an earlier target.
   * @param target a tensor of the right shape, or a kind of memory, for a result of any shape.
   * @throws InvariantError for an unknown name, another element type, or during a run.
   */
  setOutput(name: string, target: OutputTarget): void {
    this.#assertIdle();
    const output = find(this.#session.outputs, "output", name);
    if (typeof target !== "string") checkType(output, target.dtype);
    this.#forgetResult();
    this.#replaceHeld(`output ${name}`, typeof target === "string" ? null : target);
    this.#targets.set(name, target);
  }

  /**
   * The result of the last run: the bound tensor, or the one allocated for it, which the binding owns
   * until its next run or disposal (what else it is bound to by then keeps it alive).
   * @throws InvariantError for an output that is not bound, before a run succeeded, and during one.
   */
  output(name: string): Tensor {
    this.#assertIdle();
    const target = this.#targets.get(name);
    assert(target !== undefined, `the output '${name}' is not bound`);
    if (typeof target !== "string") return target;
    assert(this.#hasResult, `the output '${name}' has no value: the last run gave none`);
    this.#allocated ??= this.#collectAllocated();
    return this.#allocated.get(name)!;
  }

  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** Ends the owner's use; a run in flight still finishes, and then the memory is let go. */
  dispose(): void {
    if (this.#native.disposed) return;
    this.#forgetResult();
    this.#native.dispose();
  }

  /**
   * For `Session.run`, which must call `end`: keeps the binding alive and its tensors as they are.
   * @throws InvariantError when it belongs to another session, was disposed, or a run is in flight.
   */
  begin(session: NativeObject): void {
    this.#assertIdle();
    assert(this.#session.native === session, "a binding runs on the session that made it");
    this.#forgetResult();
    this.#running = true;
    this.#native.hold();
  }

  /**
   * For `Session.run`, in its turn at the device: tells native code what changed. That includes memory
   * targets, which would keep the last run's tensor, and ordinary inputs of a device, which were copied
   * there when they were bound.
   */
  bindNow(): Pointer {
    const { deviceMemory, context } = this.#session;
    const { pointer } = this.#native;
    const copiesInputs = deviceMemory !== context.cpu;
    for (const [name, { place }] of this.#inputs) {
      const key = `input ${name}`;
      const isStale = copiesInputs && place !== "device";
      if (isStale || this.#changed.has(key)) {
        this.#call.BindInput(pointer, name, this.#held.get(key)!.pointer);
      }
    }
    for (const [name, target] of this.#targets) {
      const key = `output ${name}`;
      if (typeof target === "string") {
        const memory = target === "cpu" ? context.cpu : deviceMemory;
        this.#call.BindOutputToDevice(pointer, name, memory.pointer);
      } else if (this.#changed.has(key)) {
        this.#call.BindOutput(pointer, name, this.#held.get(key)!.pointer);
      }
    }
    this.#changed.clear();
    return pointer;
  }

  end(succeeded: boolean): void {
    this.#running = false;
    this.#hasResult = succeeded;
    this.#native.drop();
  }

  get #call() {
    return this.#session.context.library.call;
  }

  #assertIdle(): void {
    this.#native.assertAlive();
    assert(!this.#running, "a run of this binding is in flight");
  }

  /** The new tensor is held before the old one is let go: they may be the same. */
  #replaceHeld(key: string, tensor: Tensor | null): void {
    const native = tensor?.hold();
    this.#held.get(key)?.drop();
    if (native) this.#held.set(key, native);
    else this.#held.delete(key);
    this.#changed.add(key);
  }

  #forgetResult(): void {
    for (const tensor of this.#allocated?.values() ?? []) tensor.dispose();
    this.#allocated = null;
    this.#hasResult = false;
  }

  /** Takes every bound output's value from native code; those of bound tensors are given back. */
  #collectAllocated(): ReadonlyMap<string, Tensor> {
    const { context, deviceMemory, lane } = this.#session;
    const allocated = new Map<string, Tensor>();
    const values = this.#boundValues();
    for (const [i, [name, target]] of [...this.#targets].entries()) {
      if (typeof target === "string") {
        const isDevice = target === "device" && deviceMemory !== context.cpu;
        const place = isDevice ? "device" : "cpu";
        allocated.set(name, adoptTensor(context, values[i]!, place, lane));
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
