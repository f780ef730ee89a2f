/** Guesses at next tokens: whatever is guessed, the tokens are those drawn without guesses. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { chiSquareSurvival } from "../../src/base/statistics.ts";
import { bytesPerToken } from "../../src/engine/cache.ts";
import { DraftModel } from "../../src/engine/draft-model.ts";
import { type Drafter, lookUp, promptLookup } from "../../src/engine/drafts.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Completion, Sampling } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const config = { ...tinyConfig, contextTokens: 512 };
const sampling = (changes: Partial<Sampling> = {}): Sampling => ({
  ...plainSampling,
  maxTokens: 70,
  endTokens: new Set<number>(),
  seed: 1,
  ...changes,
});
const ids = ({ tokens }: Completion) => tokens.map(({ id }) => id);
const promptOf = (length: number) => Array.from({ length }, (_, t) => (t * t + 3 * t + 8) % 61);

const drafterOf = (propose: (ids: readonly number[], count: number) => number[]): Drafter => ({
  propose(sequences, count) {
    for (const sequence of sequences) sequence.draft(propose(sequence.ids, count));
    return Promise.resolve();
  },
  leave: () => Promise.resolve(),
  dispose: () => Promise.resolve(),
});
const silent = () => drafterOf(() => []);

async function draftModel(seed: number): Promise<Drafter> {
  return new DraftModel(await loadModel(runtime, tinySource(seed, config), "logits"), {
    rowsMax: 8,
    vocabSize: config.vocabSize,
  });
}

async function open(drafter: Drafter | null, options: Partial<EngineOptions> = {}) {
  const model = await loadModel(runtime, tinySource(1, config), "logits");
  return new Engine(model, {
    sequencesMax: 8,
    queueSequencesMax: 64,
    ...(drafter && { drafter }),
    ...options,
  });
}

const requests: { prompt: number[]; n: number; sampling: Sampling }[] = [
  { prompt: promptOf(9), n: 1, sampling: sampling() },
  { prompt: promptOf(70), n: 3, sampling: sampling({ seed: 2, temperature: 0.5 }) },
  { prompt: promptOf(260), n: 4, sampling: sampling({ seed: 3, topP: 0.8, topLogprobs: 2 }) },
  { prompt: [5, 6], n: 1, sampling: sampling({ temperature: 0, endTokens: new Set([7]) }) },
  {
    prompt: promptOf(30),
    n: 2,
    sampling: sampling({ presencePenalty: 1, logitBias: new Map([[3, 2]]) }),
  },
];

async function completionsOf(engine: Engine, all = requests): Promise<Completion[][]> {
  const answers = await Promise.all(
    all.map((each) => engine.sample(each.prompt, each.n, each.sampling, { signal })),
  );
  await engine.dispose();
  return answers;
}

describe("tokens and log-probabilities are, to the bit, those without guesses", () => {
  const random = createRandom(3);
  const drafters: [string, () => Promise<Drafter>][] = [
    ["from the text itself", () => Promise.resolve(promptLookup)],
    ["of the model itself", () => draftModel(1)],
    ["of another model", () => draftModel(2)],
    [
      "at random, of random number",
      () =>
        Promise.resolve(
          drafterOf((_, count) =>
            Array.from({ length: random.integer(count + 1) }, () => random.integer(61)),
          ),
        ),
    ],
  ];
  test.each(drafters)("%s", async (_, make) => {
    expect(await completionsOf(await open(await make()))).toEqual(
      await completionsOf(await open(silent())),
    );
  });

  test("where sequences give way, too", async () => {
    const free = await open(silent());
    const bound = await open(await draftModel(2), {
      cacheBytesMax: 960 * bytesPerToken(config),
    });
    expect(await completionsOf(bound)).toEqual(await completionsOf(free));
    expect(bound.stats.preemptions).toBeGreaterThan(0);
  });
});

test("tokens are those of an engine that knows nothing of guesses, log-probabilities to 1e-4", async () => {
  const guessed = await completionsOf(await open(await draftModel(1)));
  const plain = await completionsOf(await open(null));
  for (const [i, answers] of plain.entries()) {
    expect(guessed[i]!.map(ids)).toEqual(answers.map(ids));
    for (const [j, { tokens }] of answers.entries()) {
      for (const [t, { logprob }] of tokens.entries()) {
        expect(Math.abs(guessed[i]![j]!.tokens[t]!.logprob - logprob)).toBeLessThan(1e-4);
      }
    }
  }
});

test("the law of two tokens is the model's (χ², by enumeration), though one is always guessed", async () => {
  const small = { ...config, vocabSize: 8 };
  const model = await loadModel(runtime, tinySource(4, small), "logits");
  const engine = new Engine(model, {
    sequencesMax: 64,
    queueSequencesMax: 64,
    drafter: drafterOf(() => [2, 2, 2]),
  });
  const counts = new Float64Array(64);
  const draws = 4096;
  for (let seed = 0; seed < draws / 64; seed++) {
    const drawn = await engine.sample([1, 2, 3], 64, sampling({ maxTokens: 3, seed }), { signal });
    for (const [first, second] of drawn.map(ids)) counts[first! * 8 + second!]! += 1;
  }
  let statistic = 0;
  for (let pair = 0; pair < 64; pair++) {
    const scored = await engine.score([1, 2, 3], [pair >> 3, pair & 7], { signal });
    const expected = draws * Math.exp(scored[0]! + scored[1]!);
    statistic += (counts[pair]! - expected) ** 2 / expected;
  }
  expect(chiSquareSurvival(statistic, 63)).toBeGreaterThan(1e-3);
  await engine.dispose();
});

test("a model that guesses for itself is right nearly always, and saves four steps of five", async () => {
  const engine = await open(await draftModel(1));
  const [completion] = await engine.sample([1, 2, 3], 1, sampling({ maxTokens: 100 }), { signal });
  const { tried, kept } = engine.stats.drafts;
  expect(completion!.tokens).toHaveLength(100);
  expect(kept / tried).toBeGreaterThan(0.95);
  expect(kept).toBeGreaterThan(75);
  await engine.dispose();
});

describe("the text as its own draft", () => {
  test("gives what followed the last tokens when they were there before, the latest first", () => {
    expect(lookUp([1, 2, 3, 4, 9, 2, 3], 2)).toEqual([4, 9]);
    expect(lookUp([5, 6, 1, 5, 6, 2, 5, 6], 1)).toEqual([2]);
    expect(lookUp([7, 5, 6, 1, 8, 5, 6, 2, 7, 5, 6], 3)).toEqual([1, 8, 5]); // three in a row beat the later two
    expect(lookUp([4, 4, 4, 4], 3)).toEqual([4]);
  });
  test("gives nothing where nothing repeats", () => {
    expect(lookUp([1, 2, 3, 4], 3)).toEqual([]);
    expect(lookUp([1], 3)).toEqual([]);
  });
});
