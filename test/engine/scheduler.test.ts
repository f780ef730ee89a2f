import fc from "fast-check";
import { expect, test } from "vitest";
import { Scheduler } from "../../src/engine/scheduler.ts";
import { SampleRequest } from "../../src/engine/sequence.ts";
import { Support } from "../../src/engine/support.ts";
import { plainSampling } from "../support/reference-sampling.ts";

const row = { logits: Float32Array.of(0, 0), logSumExp: Math.log(2), cdf: Float32Array.of(0.5, 1) };

function requestOf(n: number, signal = new AbortController().signal, maxTokens = 1): SampleRequest {
  const request = new SampleRequest({
    prompt: [1],
    n,
    sampling: { ...plainSampling, maxTokens },
    control: { signal },
    contextTokens: 1000,
    support: new Support(),
  });
  request.completions.catch(() => undefined);
  return request;
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
        scheduler.enqueue(requestOf(n, undefined, 1 + (leave % 3)));
        const next = scheduler.next();
        if (next) {
          for (const { sequence, slot } of scheduler.admit(next)) {
            nameOf.set(sequence, `${nameOf.size}`);
            cache[slot] = nameOf.get(sequence);
          }
        }
        [...scheduler.running].forEach((sequence, i) => {
          if ((leave >> i) & 1) sequence.accept(row);
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

test("candidates are admitted in the order of their requests", () => {
  const scheduler = new Scheduler({ slots: 3, waitingMax: 10 });
  const [first, second] = [requestOf(2), requestOf(4)];
  scheduler.enqueue(first);
  scheduler.enqueue(second);
  expect(scheduler.admit(scheduler.next()!).map(({ slot }) => slot)).toEqual([0, 1]);
  expect(scheduler.admit(scheduler.next()!).map(({ slot }) => slot)).toEqual([2]);
  expect(scheduler.next()).toBeNull();
  expect(scheduler.waiting).toBe(3);
});

test("a cancelled request leaves the line and the slots at once, and is told why", async () => {
  const scheduler = new Scheduler({ slots: 2, waitingMax: 10 });
  const controller = new AbortController();
  const doomed = requestOf(4, controller.signal);
  const stays = requestOf(1);
  scheduler.enqueue(doomed);
  scheduler.admit(scheduler.next()!);
  scheduler.enqueue(stays);
  controller.abort(new Error("gone"));
  scheduler.release(() => undefined);
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
