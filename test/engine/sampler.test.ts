import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom, type Random } from "../../src/base/random.ts";
import { isPlain, type LogitsRow, RowSampler } from "../../src/engine/sampler.ts";
import { Support } from "../../src/engine/support.ts";
import type { Sampling } from "../../src/engine/types.ts";
import {
  chiSquareP,
  graphRow,
  plainSampling,
  referenceProbabilities,
} from "../support/reference-sampling.ts";

/** Plays the given uniforms and counts what was taken. */
class Script implements Random {
  taken = 0;
  readonly #uniforms: readonly number[];
  constructor(...uniforms: readonly number[]) {
    this.#uniforms = uniforms;
  }
  uniform(): number {
    return this.#uniforms[this.taken++ % this.#uniforms.length]!;
  }
  integer(): number {
    throw new Error("a draw takes uniforms only");
  }
  normal(): number {
    throw new Error("a draw takes uniforms only");
  }
}

const sampling = (options: Partial<Sampling>): Sampling => ({ ...plainSampling, ...options });
const withoutCdf = (row: LogitsRow): LogitsRow => ({ ...row, cdf: null });

function normalLogits(size: number, spread: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: size }, () => spread * random.normal());
}

/** A p-value below this fails; the seeds are fixed, so it fails always or never. */
const significance = 1e-3;

/** How often each token follows the prefix in 4,000 completions that all begin with it. */
function countDraws(row: LogitsRow, options: Sampling, prefix: readonly number[] = []) {
  const counts = Array.from(row.logits, () => 0);
  const forced = prefix.map((id) => certain(id, counts.length));
  const support = new Support();
  const random = createRandom(42);
  for (let i = 0; i < 4000; i++) {
    const sampler = new RowSampler(options, random, support);
    for (const only of forced) sampler.sample(only);
    counts[sampler.sample(row).id]!++;
  }
  return counts;
}

/** A row that can only give one token. */
function certain(id: number, size: number): LogitsRow {
  const logits = new Float32Array(size).fill(-Infinity);
  logits[id] = 0;
  return { logits, logSumExp: 0, cdf: null };
}

describe("the distribution of the draws", () => {
  const few = new Map([[0, 1.5], [3, -2], [4, -100]]); // biome-ignore format: pairs
  const cases: [string, Partial<Sampling>][] = [
    ["the model's own", {}],
    ["temperature 0.5", { temperature: 0.5 }],
    ["temperature 2", { temperature: 2 }],
    ["top-k 3", { topK: 3 }],
    ["top-p 0.6", { topP: 0.6 }],
    ["min-p 0.1", { minP: 0.1 }],
    ["all filters", { temperature: 1.4, topK: 40, topP: 0.9, minP: 0.02 }],
    ["a bias", { logitBias: few }],
    ["a forcing bias", { logitBias: new Map([[1, 100], [2, 101]]), temperature: 1.3 }], // biome-ignore format: pairs
    ["penalties", { frequencyPenalty: 0.8, presencePenalty: 0.4 }],
    ["everything", { temperature: 0.7, topK: 4, topP: 0.95, presencePenalty: -1, logitBias: few }],
  ];
  describe.each([5, 60, 2048])("over %d tokens", (size) => {
    test.each(cases)("is the definition's with %s", (_, partial) => {
      const options = sampling(partial);
      const row = graphRow(normalLogits(size, 2, size), options.temperature);
      const prefix = options.presencePenalty === 0 ? [] : [1, 2, 1];
      const counts = countDraws(row, options, prefix);
      const expected = referenceProbabilities(row.logits, options, prefix);
      expect(chiSquareP(counts, expected)).toBeGreaterThan(significance);
    });

    test("is the definition's on the exact path too", () => {
      const options = sampling({ temperature: 0.8 });
      const row = graphRow(normalLogits(size, 2, size), 0.8);
      const counts = countDraws(withoutCdf(row), options);
      const expected = referenceProbabilities(row.logits, options);
      expect(chiSquareP(counts, expected)).toBeGreaterThan(significance);
    });
  });

  test("fails this file's test when the temperature is off by a tenth", () => {
    const row = graphRow(normalLogits(300, 2, 1), 1);
    const counts = countDraws(row, plainSampling);
    const wrong = referenceProbabilities(row.logits, sampling({ temperature: 1.1 }));
    expect(chiSquareP(counts, wrong)).toBeLessThan(significance);
  });
});

describe("plain sampling", () => {
  test("is what needs no option but a temperature", () => {
    expect(isPlain(sampling({ temperature: 0.3 }))).toBe(true);
    const others: Partial<Sampling>[] = [
      { temperature: 0 },
      { topK: 1 },
      { topP: 0.99 },
      { minP: 0.01 },
      { frequencyPenalty: 0.1 },
      { presencePenalty: -0.1 },
      { logitBias: new Map([[1, 1]]) },
    ];
    for (const other of others) expect(isPlain(sampling(other))).toBe(false);
  });

  test("gives the exact path's token but within the cdf's float32 rounding", () => {
    for (const size of [5, 300, 2048, 50_000]) {
      const row = graphRow(normalLogits(size, 3, size), 0.7);
      const p = referenceProbabilities(row.logits, sampling({ temperature: 0.7 }));
      let sum = 0;
      const cdf = p.map((share) => {
        sum += share;
        return sum;
      });
      const rounding = Math.min(size, 1024) * 2 ** -24; // of one block, whatever the vocabulary
      const uniforms = createRandom(size);
      let differing = 0;
      const support = new Support();
      for (let i = 0; i < 1000; i++) {
        const u = uniforms.uniform();
        const draw = (of: LogitsRow) =>
          new RowSampler(sampling({ temperature: 0.7 }), new Script(u), support).sample(of).id;
        const [fast, exact] = [draw(row), draw(withoutCdf(row))];
        expect(cdf[fast - 1] ?? 0).toBeLessThanOrEqual(u + rounding);
        expect(cdf[fast]).toBeGreaterThanOrEqual(u - rounding);
        if (fast !== exact) differing++;
      }
      expect(differing).toBeLessThan(5);
    }
  });

  test.each([
    [0, 2],
    [0.4999, 2],
    [0.5, 5],
    [1 - 2 ** -53, 5],
  ])("at u = %d skips tokens whose probability rounding swallowed", (u, id) => {
    const cdf = Float32Array.of(0, 0, 0.4, 0.4, 0.4, 0.8, 0.8);
    const row = { logits: new Float32Array(7), logSumExp: Math.log(7), cdf };
    expect(new RowSampler(plainSampling, new Script(u)).sample(row).id).toBe(id);
  });
});

test("a token at the end of its block, or before blocks that add nothing, is drawn as often as it should", () => {
  const size = 4096; // four blocks
  const logits = new Float32Array(size).fill(-Infinity);
  for (const [id, share] of [
    [1023, 0.25],
    [1024, 0.25],
    [2500, 0.5],
  ] as const)
    logits[id] = Math.log(share);
  const row = graphRow(logits);
  const draw = (u: number) => new RowSampler(plainSampling, new Script(u)).sample(row).id;
  expect([0, 0.2499, 0.2501, 0.4999, 0.5001, 0.9999, 1 - 2 ** -53].map(draw)).toEqual([
    1023, 1023, 1024, 1024, 2500, 2500, 2500,
  ]);
});

describe("any options", () => {
  const options = fc.record({
    temperature: fc.constantFrom(0, 0.5, 1, 1.7),
    topK: fc.constantFrom(0, 1, 3, 50),
    topP: fc.double({ min: 0, max: 1, noNaN: true }),
    minP: fc.constantFrom(0, 0.05, 0.37, 1),
    frequencyPenalty: fc.constantFrom(0, 0.7, -0.3),
    presencePenalty: fc.constantFrom(0, 1.1),
    topLogprobs: fc.integer({ min: 0, max: 20 }),
  });
  const logits = fc.array(
    // Sixteenths: logits that differ give probabilities that differ in float64.
    fc.oneof(
      fc.integer({ min: -128, max: 128 }).map((i) => i / 16),
      fc.constant(-Infinity),
    ),
    { minLength: 1, maxLength: 60 },
  );
  const possible = logits.filter((list) => list.some((logit) => logit > -Infinity));
  const uniform = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

  test("draw only what the definition allows", () => {
    const property = fc.property(possible, options, uniform, (list, partial, u) => {
      const row = graphRow(list, partial.temperature);
      const sampler = new RowSampler(sampling(partial), new Script(u));
      const drawn: number[] = [];
      for (let t = 0; t < 4; t++) {
        const allowed = referenceProbabilities(row.logits, sampling(partial), drawn);
        drawn.push(sampler.sample(row).id);
        expect(allowed[drawn[t]!]).toBeGreaterThan(0);
      }
    });
    fc.assert(property, { seed: 3, numRuns: 400 });
  });

  test("take exactly one uniform per token", () => {
    const property = fc.property(possible, options, uniform, (list, partial, u) => {
      const script = new Script(u);
      const sampler = new RowSampler(sampling(partial), script);
      for (let t = 1; t <= 3; t++) {
        sampler.sample(graphRow(list, partial.temperature));
        expect(script.taken).toBe(t);
      }
    });
    fc.assert(property, { seed: 4, numRuns: 100 });
  });

  test("never draw a lower id for a higher uniform", () => {
    const property = fc.property(possible, options, uniform, uniform, (list, partial, u, v) => {
      const row = graphRow(list, partial.temperature);
      const draw = (w: number) => new RowSampler(sampling(partial), new Script(w)).sample(row).id;
      expect(draw(Math.min(u, v))).toBeLessThanOrEqual(draw(Math.max(u, v)));
    });
    fc.assert(property, { seed: 5, numRuns: 300 });
  });

  test("report the model's own log-probabilities, most likely first, lowest id of equals", () => {
    const property = fc.property(possible, options, uniform, (list, partial, u) => {
      const row = graphRow(list, partial.temperature);
      const { id, logprob, top } = new RowSampler(sampling(partial), new Script(u)).sample(row);
      const p = referenceProbabilities(row.logits, plainSampling);
      const sorted = [...p.keys()].sort((a, b) => row.logits[b]! - row.logits[a]! || a - b);
      const reported = sorted.filter((other) => p[other]! > 0).slice(0, partial.topLogprobs);
      expect(top.map((entry) => entry.id)).toEqual(reported);
      for (const entry of [...top, { id, logprob }]) {
        expect(entry.logprob).toBeCloseTo(Math.log(p[entry.id]!), 5);
        expect(entry.logprob).toBeLessThanOrEqual(0);
      }
    });
    fc.assert(property, { seed: 6, numRuns: 300 });
  });
});

describe("greedy sampling", () => {
  test("takes the largest logit, the lowest id of equals", () => {
    const sampler = new RowSampler(sampling({ temperature: 0 }), new Script(0.999));
    expect(sampler.sample(graphRow([1, 3, 3, 2])).id).toBe(1);
  });

  test("with penalties goes where hand computation goes", () => {
    // 1, .6, 0 minus (0.5·count + 0.25): 0 → .25, .6 → 1 → .25, −.15 → 0 → −.25, −.15, 0 → 2 …
    const options = sampling({ temperature: 0, frequencyPenalty: 0.5, presencePenalty: 0.25 });
    const sampler = new RowSampler(options, new Script(0.5));
    const row = graphRow([1, 0.6, 0]);
    expect(Array.from({ length: 7 }, () => sampler.sample(row).id)).toEqual([0, 1, 0, 2, 1, 0, 1]);
  });

  test("repeats with a negative penalty what it drew once", () => {
    const options = sampling({ temperature: 0, presencePenalty: -2 });
    const sampler = new RowSampler(options, new Script(0.5));
    expect(sampler.sample(graphRow([0, 1])).id).toBe(1);
    expect(sampler.sample(graphRow([2.9, 1])).id).toBe(1);
    expect(sampler.sample(graphRow([3.1, 1])).id).toBe(0);
  });
});

describe("a row that is no distribution", () => {
  const each: [string, Partial<Sampling>][] = [
    ["plain", {}],
    ["greedy", { temperature: 0 }],
    ["filtered", { topK: 2 }],
  ];
  const sampleFrom = (logits: readonly number[], partial: Partial<Sampling>) =>
    new RowSampler(sampling(partial), new Script(0.3)).sample(graphRow(logits, 1));

  test.each(each)("is refused when it holds NaN (%s)", (_, partial) => {
    expect(() => sampleFrom([1, Number.NaN, 2], partial)).toThrow("the logit of token 1 is NaN");
  });

  test.each(each)("is refused when every logit is −Infinity (%s)", (_, partial) => {
    const impossible = () => sampleFrom([-Infinity, -Infinity], partial);
    expect(impossible).toThrow(expect.objectContaining({ code: "engine_failed" }));
    expect(impossible).toThrow("every logit is −Infinity");
  });

  test("is refused when its log-sum-exp overflowed but its logits are finite", () => {
    const row = { ...graphRow([1, 2]), logSumExp: Infinity };
    const sampler = new RowSampler(plainSampling, new Script(0.3));
    expect(() => sampler.sample(row)).toThrow("log-sum-exp is Infinity");
  });

  test.each(each)("gives a token of +Infinity for certain (%s)", (_, partial) => {
    const { id, logprob } = sampleFrom([1, Infinity, 2], partial);
    expect({ id, logprob }).toEqual({ id: 1, logprob: 0 });
  });

  test("shares the certainty among several tokens of +Infinity", () => {
    const { id, logprob } = sampleFrom([Infinity, 5, Infinity], { temperature: 0.5 });
    expect(id).toBe(0);
    expect(logprob).toBeCloseTo(-Math.LN2, 15);
  });

  test("is the request's fault when its bias bans every token", () => {
    const logitBias = new Map([[0, -100], [2, -100]]); // biome-ignore format: pairs
    const banned = () => sampleFrom([1, -Infinity, 2], { logitBias });
    expect(banned).toThrow(
      expect.objectContaining({ code: "invalid_request", param: "logit_bias" }),
    );
    expect(banned).toThrow("bans every token");
  });
});

describe("for one who guides", () => {
  const row = withoutCdf(graphRow(normalLogits(300, 2, 5)));
  const options = sampling({
    temperature: 0.8,
    topK: 40,
    topP: 0.95,
    minP: 0.001,
    frequencyPenalty: 0.4,
    presencePenalty: 0.3,
    logitBias: new Map([
      [3, 2],
      [7, -100],
    ]),
    topLogprobs: 3,
  });

  test("what is adjusted and left as it is draws what `sample` draws", () => {
    const [plain, guided] = [9, 9].map((seed) => new RowSampler(options, createRandom(seed)));
    for (let t = 0; t < 200; t++) {
      expect(guided!.sampleGuided(row, guided!.adjusted(row.logits))).toEqual(plain!.sample(row));
    }
  });

  test("what is added is drawn from, and the model's own log-probability reported", () => {
    const sampler = new RowSampler({ ...options, temperature: 0 }, createRandom(1));
    const logits = sampler.adjusted(row.logits);
    expect(logits[7]).toBe(-Infinity);
    expect(logits[3]).toBeCloseTo(row.logits[3]! + 2, 6);
    logits[11] = 1_000;
    const token = sampler.sampleGuided(row, logits);
    expect(token.id).toBe(11);
    expect(token.logprob).toBeCloseTo(row.logits[11]! - row.logSumExp, 6);
  });

  test("a bias that leaves no token is refused before anybody guides", () => {
    const all = new Map(Array.from(row.logits, (_, id) => [id, -100] as const));
    const sampler = new RowSampler(sampling({ logitBias: all }), createRandom(1));
    expect(() => sampler.adjusted(row.logits)).toThrow(/bans every token/);
  });
});
