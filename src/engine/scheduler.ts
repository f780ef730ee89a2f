/**
 * Who runs next. Requests wait in one bounded line; free slots go, one by one, to the request of the highest
 * priority, then of the earliest deadline, then with the fewest candidates running, then to the first that
 * came: so a request of one candidate is not kept waiting by one of 64. Where no slot is free, a candidate of
 * a lower priority gives way, or one of several of a request while another request has none; it goes on later
 * where it was. Who sits out, waiting for a token from outside, wants no slot, and gives way when all that run do so:
 * else sequences that wait for each other's tokens could hold every slot for ever. Knows nothing of models; where a sequence lies, `batches.ts` knows.
 */
import { assert } from "../base/assert.ts";
import { GatewayError } from "../base/errors.ts";
import type { AdapterName } from "./prompt-reader.ts";
import type { Occupant, Request, Running } from "./running.ts";

export interface SchedulerOptions {
  readonly slots: number;
  /** Sequences that may wait. */
  readonly waitingMax: number;
  /** Whether the cache's budget holds them all. */
  readonly fits?: (occupants: readonly Occupant[]) => boolean;
  /** Frees the slots of sequences that run no more, or not now. */
  readonly leave: (sequences: ReadonlySet<Running>) => Promise<void>;
}

export class Scheduler {
  readonly slots: number;
  /** In order of admission. */
  readonly running: Running[] = [];
  /** How often a sequence had to give way. */
  preemptions = 0;
  readonly #waitingMax: number;
  /** Requests with candidates that have no slot, in order of arrival. */
  readonly #line: Request[] = [];
  readonly #fits: NonNullable<SchedulerOptions["fits"]>;
  readonly #leave: SchedulerOptions["leave"];

  constructor({ slots, waitingMax, fits = () => true, leave }: SchedulerOptions) {
    this.slots = slots;
    this.#waitingMax = waitingMax;
    this.#fits = fits;
    this.#leave = leave;
  }

  /** Candidates without a slot. */
  get waiting(): number {
    return this.#line.reduce((sum, request) => sum + request.waiting.length, 0);
  }

  /** @throws GatewayError queue_full, when the request would have to wait and the line has no room for it. */
  enqueue(request: Request): void {
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

  /** The request whose candidate is next, when there is a slot for it or one that must give way. */
  next(): Request | null {
    const running = this.#runningByRequest();
    let best: Request | undefined;
    for (const request of this.#line.filter(wantsSlot)) {
      if (!best || goesBefore(request, best, running)) best = request;
    }
    if (!best) return null;
    return this.#hasRoomFor(best) || this.#victimFor(best, running) ? best : null;
  }

  /** The next candidate of the request, if it is still the next; where no slot is free, one is made so. */
  async admit(request: Request): Promise<Running | null> {
    if (this.next() !== request) return null;
    while (!this.#hasRoomFor(request)) {
      const victim = this.#victimFor(request, this.#runningByRequest());
      if (!victim) return null;
      await this.#preempt(victim);
    }
    const sequence = request.waiting.shift()!;
    if (request.waiting.length === 0) this.#line.splice(this.#line.indexOf(request), 1);
    this.running.push(sequence);
    return sequence;
  }

  /**
   * Before a step, every sequence grows by a token: where the budget does not hold that, some give way, of the
   * lowest priority first.
   */
  async shed(): Promise<void> {
    while (this.running.length > 0 && !this.#fits(this.grown())) {
      const running = this.#runningByRequest();
      const [victim] = this.running.toSorted((a, b) => compareLoss(a, b, running));
      await this.#preempt(victim!);
    }
  }

  /**
   * Frees the slots of finished sequences, and of requests that were cancelled or failed, which leave
   * the line too.
   */
  async release(): Promise<void> {
    const gone = this.#requests().filter((request) => request.ended);
    for (const request of gone) request.fail(request.ended?.reason);
    this.#line.splice(0, Infinity, ...this.#line.filter((request) => !gone.includes(request)));
    await this.#vacate((sequence) => sequence.finished || gone.includes(sequence.request));
  }

  /** Nothing that is waiting or running goes on; the next release frees what it held. */
  failAll(reason: unknown): void {
    for (const request of this.#requests()) request.fail(request.ended?.reason ?? reason);
  }

  /** Whether a request, running or waiting, runs with the adapter. */
  uses(adapter: AdapterName): boolean {
    return this.#requests().some(({ prompt }) => prompt.adapter?.revision === adapter.revision);
  }

  /** When idle nothing may be left behind that could go on. @throws InvariantError */
  selfCheck(): void {
    const isStuck = this.#line.some(wantsSlot) && this.running.length === 0;
    assert(
      !isStuck && this.running.every(({ sitsOut }) => sitsOut),
      "the engine is idle but holds sequences",
    );
  }

  #runningByRequest(): Counts {
    const counts = new Map<Request, number>();
    for (const { request } of this.running) counts.set(request, (counts.get(request) ?? 0) + 1);
    return counts;
  }

  /** Who must give way to a candidate of the request; of several, who loses least. */
  #victimFor(request: Request, running: Counts): Running | null {
    const isStarved = !running.has(request);
    const allSitOut = this.running.every(({ sitsOut }) => sitsOut);
    const [victim] = this.running
      .filter(({ request: other }) => {
        if (other.priority < request.priority) return true;
        const isSpare = running.get(other)! > 1 || allSitOut;
        return isStarved && other.priority === request.priority && isSpare;
      })
      .sort((a, b) => compareLoss(a, b, running));
    return victim ?? null;
  }

  #hasRoomFor(request: Request): boolean {
    const next = { request, tokens: request.prompt.tokens.length + 1 };
    return this.running.length < this.slots && this.#fits([...this.grown(), next]);
  }

  /** What runs, each with a token more. */
  grown(): Occupant[] {
    return this.running.map(({ request, cachedTokens }) => ({ request, tokens: cachedTokens + 1 }));
  }

  async #preempt(victim: Running): Promise<void> {
    this.preemptions += 1;
    const { request } = victim;
    if (request.waiting.length === 0) this.#line.unshift(request);
    request.waiting.unshift(victim);
    await this.#vacate((sequence) => sequence === victim);
    victim.giveWay();
  }

  /** In line, running, or both. */
  #requests(): Request[] {
    return [...new Set([...this.#line, ...this.running.map((sequence) => sequence.request)])];
  }

  async #vacate(leaves: (sequence: Running) => boolean): Promise<void> {
    const leaving = new Set(this.running.filter(leaves));
    if (leaving.size === 0) return;
    this.running.splice(0, Infinity, ...this.running.filter((sequence) => !leaving.has(sequence)));
    await this.#leave(leaving);
  }
}

const wantsSlot = ({ waiting }: Request) => waiting.some(({ sitsOut }) => !sitsOut);

type Counts = ReadonlyMap<Request, number>;

/** First who should give way: a lower priority, one of many, who has least to run again. */
function compareLoss(a: Running, b: Running, running: Counts): number {
  return (
    a.request.priority - b.request.priority ||
    running.get(b.request)! - running.get(a.request)! ||
    a.cachedTokens - b.cachedTokens
  );
}

/** Of two requests in line the earlier one goes first when nothing else decides. */
function goesBefore(later: Request, earlier: Request, running: Counts): boolean {
  if (later.priority !== earlier.priority) return later.priority > earlier.priority;
  const [a, b] = [later.deadline ?? Infinity, earlier.deadline ?? Infinity];
  if (a !== b) return a < b;
  return (running.get(later) ?? 0) < (running.get(earlier) ?? 0);
}
