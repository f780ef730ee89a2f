/**
 * Who runs next: requests wait in one bounded line, their candidates take free slots in order. Running
 * sequences always hold slots 0 … running − 1, so that they are one batch. Knows nothing of models.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { SampleRequest, Sequence } from "./sequence.ts";

/** Moves the first `length` tokens of a cache slot to another. */
export type MoveSlot = (from: number, to: number, length: number) => void;

export class Scheduler {
  readonly slots: number;
  /** By slot. */
  readonly running: Sequence[] = [];
  readonly #waitingMax: number;
  readonly #line: SampleRequest[] = [];

  constructor({ slots, waitingMax }: { slots: number; waitingMax: number }) {
    this.slots = slots;
    this.#waitingMax = waitingMax;
  }

  /** Candidates without a slot. */
  get waiting(): number {
    return this.#line.reduce((sum, request) => sum + request.waiting.length, 0);
  }

  /** @throws GatewayError queue_full, when the request would have to wait and the line has no room for it. */
  enqueue(request: SampleRequest): void {
    const waiting = this.waiting + request.waiting.length;
    const free = this.slots - this.running.length;
    if (waiting - free > this.#waitingMax) {
      const retryAfterSeconds = Math.ceil(1 + this.waiting / this.slots);
      throw new GatewayError("queue_full", {
        waiting: this.waiting,
        limit: this.#waitingMax,
        retryAfterSeconds,
      });
    }
    this.#line.push(request);
  }

  /** The request whose candidates are next, when there is a slot for at least one. */
  next(): SampleRequest | null {
    return this.running.length < this.slots ? (this.#line[0] ?? null) : null;
  }

  /** Gives as many of its candidates a slot as there are free ones. */
  admit(request: SampleRequest): { sequence: Sequence; slot: number }[] {
    assert(request === this.#line[0], "only the first in line is admitted");
    const admitted = request.waiting.splice(0, this.slots - this.running.length);
    if (request.waiting.length === 0) this.#line.shift();
    return admitted.map((sequence) => ({ sequence, slot: this.running.push(sequence) - 1 }));
  }

  /**
   * Frees the slots of finished sequences, and of requests that were cancelled or failed, which leave
   * the line too.
   */
  release(move: MoveSlot): void {
    const gone = this.#requests().filter((request) => request.ended);
    for (const request of gone) request.fail(request.ended?.reason);
    this.#line.splice(0, Infinity, ...this.#line.filter((request) => !gone.includes(request)));
    this.#vacate((sequence) => sequence.finished || gone.includes(sequence.request), move);
  }

  failAll(reason: unknown): void {
    const all = this.#requests();
    this.#line.length = 0;
    this.running.length = 0;
    for (const request of all) request.fail(request.ended?.reason ?? reason);
  }

  /** When idle nothing may be left behind. @throws InvariantError */
  selfCheck(): void {
    assert(
      this.running.length === 0 && this.#line.length === 0,
      "the engine is idle but holds sequences",
    );
  }

  /** In line, running, or both. */
  #requests(): SampleRequest[] {
    return [...new Set([...this.#line, ...this.running.map((sequence) => sequence.request)])];
  }

  /** From the last slot down, so that whoever moves into a hole is a sequence that stays. */
  #vacate(leaves: (sequence: Sequence) => boolean, move: MoveSlot): void {
    for (let slot = this.running.length - 1; slot >= 0; slot--) {
      if (!leaves(this.running[slot]!)) continue;
      const last = this.running.length - 1;
      const moved = this.running.pop()!;
      if (slot === last) continue;
      move(last, slot, moved.cachedTokens);
      this.running[slot] = moved;
    }
  }
}
