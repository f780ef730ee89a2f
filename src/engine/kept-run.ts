/**
 * A run that is bound once and run again while what it is bound to stays as it is: for a small model, binding some dozens
 * of tensors costs as much as a step. Values change in place between runs.
 */
import type { Tensor } from "../onnx/runtime/index.ts";
import type { AdapterBank } from "./adapter-bank.ts";
import type { HeadOutputs } from "./head-outputs.ts";
import type { BoundRun, ServingModel } from "./serving-model.ts";
import { disposeTensors } from "./step-head.ts";

export interface Kept<In, Output> {
  /** What changes from run to run. */
  readonly in: In;
  readonly bound: BoundRun;
  /** Its arrays are written anew by the next run. */
  readonly head: HeadOutputs<Output>;
  /** All that was made for it, but the head's. */
  readonly tensors: readonly Tensor[];
}

export class KeptRun<In, Output> {
  readonly #model: ServingModel;
  #kept: Kept<In, Output> | null = null;
  #key = "";
  /** Another one comes with other sessions. */
  #bank: AdapterBank | null = null;

  constructor(model: ServingModel) {
    this.#model = model;
  }

  /** @param key differs where shapes or memory do. */
  async get(key: string, bind: () => Promise<Kept<In, Output>>): Promise<Kept<In, Output>> {
    const { bank } = this.#model;
    if (this.#kept && this.#key === key && this.#bank === bank) return this.#kept;
    this.drop();
    this.#kept = await bind();
    this.#key = key;
    this.#bank = bank;
    return this.#kept;
  }

  /** Idempotent. */
  drop(): void {
    if (!this.#kept) return;
    const { bound, head, tensors } = this.#kept;
    this.#kept = null;
    bound.dispose();
    head.dispose();
    disposeTensors(tensors);
  }
}
