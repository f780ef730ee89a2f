import fc from "fast-check";
import { expect, test } from "vitest";
import { type MoveSlot, Scheduler } from "../../src/engine/scheduler.ts";
import { SampleRequest } from "../../src/engine/sequence.ts";
import { Support } from "../../src/engine/support.ts";
import type { SampleControl } from "../../src/engine/types.ts";
import { plainSampling } from "../support/reference-sampling.ts";

const row = { logits: Float32Array.of(0, 0), logSumExp: Math.log(2), cdf: Float32Array.of(0.5, 1) };

type Options = Partial<SampleControl> & { maxTokens?: number };

function requestOf(n: number, { maxTokens = 1, ...control }: Options = {}): SampleRequest {
  const request = new SampleRequest({
    prompt: [1],
    n,
    sampling: { ...plainSampling, maxTokens },
    control: { signal: new AbortController().signal, ...control },
    contextTokens: 1000,
    adapter: null,
    support: new Support(),
  });
  request.completions.catch(() => undefined);
  return request;
}

type Admitted = NonNullable<ReturnType<Scheduler["admit"]>>;
const stay = () => undefined;

/** As the engine does, for prompts that need no computing. */
function admitAll(
  scheduler: Scheduler,
  move: MoveSlot = stay,
  each: (admitted: Admitted) => void = stay,
): Admitted[] {
  const all: Admitted[] = [];
  for (let next = scheduler.next(); next; next = scheduler.next()) {
    for (let one = scheduler.admit(next, move); one; one = scheduler.admit(next, move)) {
      all.push(one);
      each(one);
    }
  }
  return all;
}

test("slots stay dense, every sequence keeps its own cache, whoever leaves", () => {
  const steps = fc.array(
    fc.record({ n: fc.integer({ min: 1, max: 6 }), leave: fc.nat({ max: 255 }) }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(steps, (script) => {
      const scheduler = new Scheduler({ slots: 5, waitingMax: 1000 });
      const cache: (string | undefined)[] = Array(5); // what each slot holds
      const nameOf = new Map<unknown, string>();
      const move = (from: number, to: number) => {
        cache[to] = cache[from];
      };
      for (const { n, leave } of script) {
        scheduler.enqueue(requestOf(n, { maxTokens: 1 + (leave % 3) }));
        admitAll(scheduler, move, ({ sequence, slot }) => {
          if (!nameOf.has(sequence)) nameOf.set(sequence, `${nameOf.size}`);
          cache[slot] = nameOf.get(sequence);
          sequence.begin(row);
        });
        [...scheduler.running].forEach((sequence, i) => {
          if (!sequence.finished && (leave >> i) & 1) sequence.accept(row);
        });
        scheduler.release(move);
        expect(scheduler.running.length).toBeLessThanOrEqual(5);
        scheduler.running.forEach((sequence, slot) => {
          expect(sequence.finished).toBe(false);
          expect(cache[slot]).toBe(nameOf.get(sequence));
        });
      }
    }),
  );
});

/** Who runs, by request. */
const shares = (scheduler: Scheduler, requests: readonly SampleRequest[]) =>
  requests.map((each) => scheduler.running.filter(({ request }) => request === each).length);

test("free slots go one by one to the request with the fewest candidates running", () => {
  const scheduler = new Scheduler({ slots: 6, waitingMax: 100 });
  const requests = [requestOf(20), requestOf(1), requestOf(20)];
  for (const request of requests) scheduler.enqueue(request);
  const slots = admitAll(scheduler).map(({ slot }) => slot);
  expect(slots).toEqual([0, 1, 2, 3, 4, 5]);
  expect(shares(scheduler, requests)).toEqual([3, 1, 2]);
  expect(scheduler.next()).toBeNull();
  expect(scheduler.waiting).toBe(35);
});

test("a candidate of many gives way to a request that has none running, but never its last", () => {
  const scheduler = new Scheduler({ slots: 3, waitingMax: 100 });
  const [many, ...ones] = [requestOf(8), requestOf(1), requestOf(1), requestOf(1)];
  scheduler.enqueue(many!);
  admitAll(scheduler);
  for (const one of ones) scheduler.enqueue(one);
  admitAll(scheduler);
  expect(shares(scheduler, [many!, ...ones])).toEqual([1, 1, 1, 0]);
  expect(scheduler.preemptions).toBe(2);
  expect(scheduler.waiting).toBe(8);
});

test("a higher priority goes first and makes room; of one priority, the earlier deadline", () => {
  const scheduler = new Scheduler({ slots: 2, waitingMax: 100 });
  const common = requestOf(2);
  scheduler.enqueue(common);
  admitAll(scheduler);
  const [late, soon, urgent] = [
    requestOf(1, { deadline: 900 }),
    requestOf(1, { deadline: 100 }),
    requestOf(1, { priority: 1 }),
  ];
  for (const request of [late, soon, urgent]) scheduler.enqueue(request!);
  expect(scheduler.next()).toBe(urgent);
  admitAll(scheduler);
  expect(shares(scheduler, [common, late!, soon!, urgent!])).toEqual([1, 0, 0, 1]);
  scheduler.running.find(({ request }) => request === urgent)!.begin(row); // one token: finished
  scheduler.release(stay);
  expect(scheduler.next()).toBe(soon);
});

test("who gives way goes on with the tokens it has, one a step, and draws nothing twice", () => {
  const scheduler = new Scheduler({ slots: 1, waitingMax: 10 });
  const seen: number[] = [];
  const request = requestOf(1, {
    maxTokens: 3,
    onToken: (_, { id }) => {
      seen.push(id);
      return false;
    },
  });
  scheduler.enqueue(request);
  const { sequence } = admitAll(scheduler)[0]!;
  sequence.begin(row);
  sequence.accept(row);
  expect([seen.length, sequence.cachedTokens]).toEqual([2, 2]);
  scheduler.enqueue(requestOf(1, { priority: 1 }));
  admitAll(scheduler);
  expect(sequence.cachedTokens).toBe(1); // the prompt's
  sequence.begin(row);
  expect(sequence.decodeRow()).toMatchObject({ token: seen[0], past: 1 });
  sequence.accept(row);
  expect(seen).toHaveLength(2);
  expect(sequence.decodeRow()).toMatchObject({ token: seen[1], past: 2 });
  sequence.accept(row);
  expect(seen).toHaveLength(3);
  expect(sequence.finished).toBe(true);
});

test("a cancelled request leaves the line and the slots at once, and is told why", async () => {
  const scheduler = new Scheduler({ slots: 2, waitingMax: 10 });
  const controller = new AbortController();
  const doomed = requestOf(4, { signal: controller.signal });
  const stays = requestOf(1);
  scheduler.enqueue(doomed);
  admitAll(scheduler);
  scheduler.enqueue(stays);
  controller.abort(new Error("gone"));
  scheduler.release(stay);
  expect(scheduler.running).toEqual([]);
  expect(scheduler.next()).toBe(stays);
  await expect(doomed.completions).rejects.toThrow("gone");
});

test("the line is bounded by sequences that would have to wait", () => {
  const scheduler = new Scheduler({ slots: 2, waitingMax: 3 });
  scheduler.enqueue(requestOf(5)); // two of them need not wait
  expect(() => scheduler.enqueue(requestOf(1))).toThrow(
    /5 sequences are waiting and the queue holds 3/,
  );
});
