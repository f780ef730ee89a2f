import { expect, test } from "vitest";
import type { Running } from "../../src/engine/running.ts";
import { Scheduler, type SchedulerOptions } from "../../src/engine/scheduler.ts";
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
    sharesPrompt: false,
    drafts: { tried: 0, kept: 0 },
  });
  request.completions.catch(() => undefined);
  return request;
}

const schedulerOf = (options: Partial<SchedulerOptions>) =>
  new Scheduler({ slots: 2, waitingMax: 100, leave: () => Promise.resolve(), ...options });

/** As the engine does, for prompts that need no computing. */
async function admitAll(scheduler: Scheduler): Promise<Running[]> {
  const all: Running[] = [];
  for (let next = scheduler.next(); next; next = scheduler.next()) {
    for (let one = await scheduler.admit(next); one; one = await scheduler.admit(next)) {
      all.push(one);
    }
  }
  return all;
}

/** A step, as a batch takes it. */
function runOne(sequence: Running): void {
  sequence.next(1);
  sequence.accept([row], 1);
}

/** Who runs, by request. */
const shares = (scheduler: Scheduler, requests: readonly SampleRequest[]) =>
  requests.map((each) => scheduler.running.filter(({ request }) => request === each).length);

test("free slots go one by one to the request with the fewest candidates running", async () => {
  const scheduler = schedulerOf({ slots: 6, waitingMax: 100 });
  const requests = [requestOf(20), requestOf(1), requestOf(20)];
  for (const request of requests) scheduler.enqueue(request);
  expect(await admitAll(scheduler)).toHaveLength(6);
  expect(shares(scheduler, requests)).toEqual([3, 1, 2]);
  expect(scheduler.next()).toBeNull();
  expect(scheduler.waiting).toBe(35);
});

test("a candidate of many gives way to a request that has none running, but never its last", async () => {
  const scheduler = schedulerOf({ slots: 3, waitingMax: 100 });
  const [many, ...ones] = [requestOf(8), requestOf(1), requestOf(1), requestOf(1)];
  scheduler.enqueue(many!);
  await admitAll(scheduler);
  for (const one of ones) scheduler.enqueue(one);
  await admitAll(scheduler);
  expect(shares(scheduler, [many!, ...ones])).toEqual([1, 1, 1, 0]);
  expect(scheduler.preemptions).toBe(2);
  expect(scheduler.waiting).toBe(8);
});

test("a higher priority goes first and makes room; of one priority, the earlier deadline", async () => {
  const scheduler = schedulerOf({ slots: 2, waitingMax: 100 });
  const common = requestOf(2);
  scheduler.enqueue(common);
  await admitAll(scheduler);
  const [late, soon, urgent] = [
    requestOf(1, { deadline: 900 }),
    requestOf(1, { deadline: 100 }),
    requestOf(1, { priority: 1 }),
  ];
  for (const request of [late, soon, urgent]) scheduler.enqueue(request!);
  expect(scheduler.next()).toBe(urgent);
  await admitAll(scheduler);
  expect(shares(scheduler, [common, late!, soon!, urgent!])).toEqual([1, 0, 0, 1]);
  scheduler.running.find(({ request }) => request === urgent)!.begin(row); // one token: finished
  await scheduler.release();
  expect(scheduler.next()).toBe(soon);
});

test("who gives way goes on with the tokens it has, one a step, and draws nothing twice", async () => {
  const scheduler = schedulerOf({ slots: 1, waitingMax: 10 });
  const seen: number[] = [];
  const request = requestOf(1, {
    maxTokens: 3,
    onToken: (_, { id }) => {
      seen.push(id);
      return false;
    },
  });
  scheduler.enqueue(request);
  const sequence = (await admitAll(scheduler))[0]!;
  sequence.begin(row);
  runOne(sequence);
  expect([seen.length, sequence.cachedTokens]).toEqual([2, 2]);
  scheduler.enqueue(requestOf(1, { priority: 1 }));
  await admitAll(scheduler);
  expect(sequence.cachedTokens).toBe(1); // the prompt's
  sequence.begin(row);
  expect(sequence.next(1).tokens).toEqual([seen[0]]);
  runOne(sequence);
  expect(seen).toHaveLength(2);
  expect(sequence.next(1).tokens).toEqual([seen[1]]);
  runOne(sequence);
  expect(seen).toHaveLength(3);
  expect(sequence.finished).toBe(true);
});

test("a cancelled request leaves the line and the slots at once, and is told why", async () => {
  const scheduler = schedulerOf({ slots: 2, waitingMax: 10 });
  const controller = new AbortController();
  const doomed = requestOf(4, { signal: controller.signal });
  const stays = requestOf(1);
  scheduler.enqueue(doomed);
  await admitAll(scheduler);
  scheduler.enqueue(stays);
  controller.abort(new Error("gone"));
  await scheduler.release();
  expect(scheduler.running).toEqual([]);
  expect(scheduler.next()).toBe(stays);
  await expect(doomed.completions).rejects.toThrow("gone");
});

test("the line is bounded by sequences that would have to wait", () => {
  const scheduler = schedulerOf({ slots: 2, waitingMax: 3 });
  scheduler.enqueue(requestOf(5)); // two of them need not wait
  expect(() => scheduler.enqueue(requestOf(1))).toThrow(
    /5 sequences are waiting and the queue holds 3/,
  );
});
