/**
 * Lifetimes of native objects: one owner that disposes, any number of holders. The object is released
 * when the owner and every holder let go, so nothing is freed under a run that uses it.
 */
import koffi from "koffi";
import { assert } from "../../base/assert.ts";
import type { Pointer } from "./functions.ts";

export class NativeObject {
  readonly #what: string;
  readonly #release: (pointer: Pointer) => void;
  #live: { readonly pointer: Pointer; readonly keeps: unknown } | null;
  #holders = 1;
  #disposed = false;

  /**
   * @param what    the object's name in messages.
   * @param pointer its address, already created; from here on this object answers for it.
   * @param release called once, with the address, when the last holder lets go.
   * @param keeps   stays referenced until the release: memory that the native object points to.
   */
  constructor(
    what: string,
    pointer: Pointer,
    release: (pointer: Pointer) => void,
    keeps?: unknown,
  ) {
    this.#what = what;
    this.#live = { pointer, keeps };
    this.#release = release;
  }

  /** For holders: valid until they drop it. @throws InvariantError once released. */
  get pointer(): Pointer {
    assert(this.#live !== null, `${this.#what} was used after its release`);
    return this.#live.pointer;
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /** @throws InvariantError when the owner has disposed of it. */
  assertAlive(): void {
    assert(!this.#disposed, `${this.#what} was used after its disposal`);
  }

  /** Adds a holder, which must call `drop` once. @throws InvariantError after the owner's disposal. */
  hold(): this {
    this.assertAlive();
    this.#holders += 1;
    return this;
  }

  drop(): void {
    assert(this.#live !== null, `${this.#what} was dropped more often than held`);
    this.#holders -= 1;
    if (this.#holders > 0) return;
    const { pointer } = this.#live;
    this.#live = null;
    this.#release(pointer);
  }

  /** The owner's end; a second call does nothing. Holders keep the object until they drop it. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.drop();
  }
}

/** Calls a creator with a place for its result and returns what it wrote there. */
export function created(create: (out: BigUint64Array) => void): Pointer {
  const out = new BigUint64Array(1);
  create(out);
  return out[0]!;
}

/** The same for a creator that runs on another thread. */
export async function createdLater(
  create: (out: BigUint64Array) => Promise<void>,
): Promise<Pointer> {
  const out = new BigUint64Array(1);
  await create(out);
  return out[0]!;
}

/**
 * Where the first byte of an array lies. Valid while the array is referenced: asking moves a small
 * array's elements off V8's heap, where nothing moves them again.
 */
export function addressOf(array: ArrayBufferView): Pointer {
  return koffi.address(array);
}

/** A JavaScript copy of native memory. */
export function copyOut(pointer: Pointer, bytes: number): ArrayBuffer {
  return bytes === 0 ? new ArrayBuffer(0) : koffi.view(pointer, bytes).slice(0);
}

/** The null-terminated UTF-8 text at an address. */
export function textAt(pointer: Pointer): string {
  return koffi.decode.string(pointer);
}

/** The addresses that `count` consecutive native pointers hold. */
export function pointersAt(pointer: Pointer, count: number): Pointer[] {
  return Array.from(new BigUint64Array(copyOut(pointer, count * 8)));
}

/** A native array of pointers, as an argument. An empty one is the null pointer, which is right too. */
export function pointerArray(pointers: readonly Pointer[]): BigUint64Array {
  return BigUint64Array.from(pointers);
}
