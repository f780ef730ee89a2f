/**
 * The transformer against Hugging Face's (logits computed there, in a fixture), and against itself:
 * packed and alone, whole and step by step over a cache, gradients and differences.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { createRandom } from "../../src/base/random.ts";
import { cdfBlock } from "../../src/onnx/draw.ts";
import { Graph } from "../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { servingGraph } from "../../src/onnx/serving-graph.ts";
import {
  applyHead,
  packedForward,
  packedInputs,
  wholeWeights,
} from "../../src/onnx/transformer.ts";
import { count, nd } from "../support/arrays.ts";
import { modelOf, type Published, tinyLlama } from "../support/configs.ts";
import { formulaWeights } from "../support/formula-weights.ts";
import { gradientError } from "../support/gradients.ts";
import { type Feed, feed } from "../support/graphs.ts";
import { softmax, sum } from "../support/naive.ts";
import { type Model, runPacked, Server, type WeightValues } from "../support/transformers.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

/** Largest |a − b|. Logits here are of size 1 to 5; two orders of the same float32 sums differ by 1e-6. */
function distance(a: readonly number[][], b: readonly number[][]): number {
  expect(a.map((each) => each.length)).toEqual(b.map((each) => each.length));
  return Math.max(...a.flatMap((each, t) => each.map((value, i) => Math.abs(value - b[t]![i]!))));
}

describe.each(huggingFaceModels())("Hugging Face's numbers: $name", (each) => {
  const { config, scorerConfig, taggerConfig, sequences } = each;
  const ids = sequences.map((sequence) => sequence.ids);
  const policy: Model = { config, head: "logits", values: formulaWeights };

  test("logits of whole sequences", async () => {
    const logits = await runPacked(runtime, policy, ids, 64);
    for (const [i, { expected }] of sequences.entries())
      expect(distance(logits[i]!, expected)).toBeLessThan(5e-5);
  });
  test("scores of whole sequences, at their last token", async () => {
    const model: Model = { ...policy, config: { ...scorerConfig, labels: 1 }, head: "scores" };
    const scores = await runPacked(runtime, model, ids, 64);
    for (const [i, { score }] of sequences.entries())
      expect(scores[i]!.at(-1)![0]).toBeCloseTo(score, 4);
  });
  if (taggerConfig) {
    test("scores of every token, for two labels", async () => {
      const model: Model = { ...policy, config: taggerConfig, head: "scores" };
      const scores = await runPacked(runtime, model, ids, 64);
      for (const [i, { tokenScores }] of sequences.entries())
        expect(distance(scores[i]!, tokenScores)).toBeLessThan(5e-5);
    });
  }
  test("logits of the serving graph: prompts, then a ragged batch token by token", async () => {
    const server = await Server.open(runtime, policy, ids.length);
    const served = await serveAll(server, ids, { prompts: [2, 1, 30], output: "logits" });
    for (const [i, { expected }] of sequences.entries())
      expect(distance(served[i]!, expected)).toBeLessThan(1e-4);
    server.dispose();
  });
});

describe("packing", () => {
  const model: Model = { config: tinyLlama(), head: "logits", values: randomWeights(1) };
  const sequences = [tokens(1, 7), tokens(2, 3), tokens(3, 5), tokens(4, 1)];

  test("gives a sequence the same logits among others as alone", async () => {
    const together = await runPacked(runtime, model, sequences, 9);
    for (const [i, sequence] of sequences.entries()) {
      const [alone] = await runPacked(runtime, model, [sequence], sequence.length);
      expect(distance(together[i]!, alone!)).toBeLessThan(1e-5);
    }
  });
  test("hides later tokens from earlier ones", async () => {
    const sequence = tokens(5, 8);
    const [before, after] = await Promise.all(
      [sequence, sequence.with(5, (sequence[5]! + 1) % 31)].map((each) =>
        runPacked(runtime, model, [each], 8),
      ),
    );
    expect(before![0]!.slice(0, 5)).toEqual(after![0]!.slice(0, 5));
    expect(distance(before![0]!.slice(5, 6), after![0]!.slice(5, 6))).toBeGreaterThan(0.01);
    expect(distance(before![0]!.slice(6, 7), after![0]!.slice(6, 7))).toBeGreaterThan(0.001);
  });
});

describe("serving", () => {
  const wholes = [tokens(1, 12), tokens(2, 8), tokens(3, 15)];

  test.each(["logits", "scores"] as const)(
    "gives the %s of the whole sequences, in a ragged batch over caches in place",
    async (head) => {
      const model: Model = { config: tinyLlama(), head, values: randomWeights(2) };
      const server = await Server.open(runtime, model, 3);
      const prompts = [5, 1, 8];
      const served = await serveAll(server, wholes, { prompts, output: head });
      server.dispose();
      const whole = await runPacked(runtime, model, wholes, 16);
      for (const [i, rows] of served.entries()) {
        expect(distance(rows, whole[i]!)).toBeLessThan(1e-4);
      }
    },
  );

  test("reads a prompt in chunks as at once", async () => {
    const model: Model = { config: tinyLlama(), head: "logits", values: randomWeights(2) };
    const server = await Server.open(runtime, model, 2);
    const [whole] = wholes as [number[]]; // three of them
    const once = await server.run({ slots: [0, 1], tokens: [whole], lengths: [12] });
    const first = { slots: [1, 1], tokens: [whole.slice(0, 5)], lengths: [5] } as const;
    const second = { slots: [1, 1], tokens: [whole.slice(5)], lengths: [12] } as const;
    const chunks = [(await server.run(first))["logits"]!, (await server.run(second))["logits"]!];
    server.dispose();
    expect(distance(chunks.flat(), once["logits"]!)).toBeLessThan(1e-4);
  });

  test.each([
    [31, 31],
    [4096, 1024],
    [2050, 410],
  ])(
    "sums the distribution up over %d tokens: ln Σ e^logits, and Σ softmax(logits / T) by %d",
    async (vocab, block) => {
      const config = tinyLlama({ vocab_size: vocab });
      const model: Model = { config, head: "logits", values: randomWeights(2) };
      const server = await Server.open(runtime, model, 1);
      const step = {
        slots: [0, 1],
        tokens: [tokens(1, 4)],
        lengths: [4],
        temperature: 0.5,
      } as const;
      const { logits, log_sum_exp: logSumExp, cdf } = await server.run(step);
      server.dispose();
      expect(cdfBlock(vocab)).toBe(block);
      for (const [t, row] of logits!.entries()) {
        expect(logSumExp![t]![0]).toBeCloseTo(Math.log(sum(row.map(Math.exp))), 5);
        const probabilities = softmax(row.map((logit) => logit / 0.5));
        let running = 0;
        const expected = probabilities.map((p, i) => (running = (i % block ? running : 0) + p));
        expect(distance([cdf![t]!], [expected])).toBeLessThan(1e-5);
      }
    },
  );

  test("refuses heads that the runtime's attention cannot share or split", () => {
    expect(() => servingGraph({ ...tinyLlama(), heads: 3 }, "logits")).toThrow(InvariantError);
    expect(() => servingGraph(tinyLlama({ head_dim: 24 }), "logits")).toThrow(
      /head size 24 is not a multiple of 16/,
    );
  });
});

describe("the gradient of the whole model", () => {
  /**
   * In single precision, for the rotary operator knows no other. Rounding leaves 1e-3 of the smallest
   * gradients at this step, and curvature, where a weight is 0.3 or more, leaves less.
   */
  test.each([
    { says: "tied embeddings", config: tinyLlama({ tie_word_embeddings: true }) },
    { says: "untied, with biases", config: tinyLlama({ attention_bias: true, mlp_bias: true }) },
  ])("is what differences give by every weight: $says", async ({ config }) => {
    const g = new Graph();
    const weights: Record<string, Feed> = {};
    const values = randomWeights(3);
    const weight = (name: string, shape: readonly number[]) => {
      const known = g.inputs.find((input) => input.name === name);
      if (known) return known;
      const data = [...values(name, count(shape))];
      weights[name] = feed("float32", nd(shape, data));
      return g.input(name, "float32", shape);
    };
    const hidden = packedForward(g, config, wholeWeights(g, weight), packedInputs(g));
    const y = g.logSoftmax(applyHead(g, config, weight, "logits", hidden));
    const wanted = Object.keys(weights);
    const feeds = { ...weights, ...packedFeeds() };
    const error = await gradientError(
      runtime,
      { g, y, feeds, wanted },
      { step: 1 / 32, samples: 4 },
    );
    expect(wanted).toHaveLength(config.tieEmbeddings ? 20 : 35);
    expect(error).toBeLessThan(3e-3);
  });
});

// ---- Models and tokens

function tokens(seed: number, length: number): number[] {
  const random = createRandom(seed);
  return Array.from({ length }, () => random.integer(31));
}

/** Large enough that logits are neither flat nor certain; norms around 1. */
function randomWeights(seed: number): WeightValues {
  return (name, size) => {
    const random = createRandom(seed + sum([...Buffer.from(name)]));
    const centre = name.endsWith("norm.weight") ? 1 : 0;
    const deviation = name.includes("embed") ? 1 : 0.3;
    return Float32Array.from({ length: size }, () => centre + deviation * random.normal());
  };
}

/** Two sequences in a row of 4 and one in another. */
function packedFeeds() {
  const int64 = (data: number[]) => feed("int64", nd([2, 4], data), ["batch", "tokens"]);
  return {
    input_ids: int64([3, 1, 4, 1, 5, 9, 2, 6]),
    position_ids: int64([0, 1, 0, 1, 0, 1, 2, 3]),
    segment_ids: int64([0, 0, 1, 1, 2, 2, 2, 2]),
  };
}

/**
 * Each prompt alone into its slot, then one token of all at a time, those that have ended fed anything:
 * their rows of the output, per sequence.
 */
async function serveAll(
  server: Server,
  wholes: readonly (readonly number[])[],
  { prompts, output }: { prompts: readonly number[]; output: string },
): Promise<number[][][]> {
  const served: number[][][] = [];
  for (const [slot, whole] of wholes.entries()) {
    const prompt = whole.slice(0, prompts[slot]);
    const step = { slots: [slot, 1], tokens: [prompt], lengths: [prompt.length] } as const;
    served.push((await server.run(step))[output]!);
  }
  const left = wholes.map((whole, i) => whole.length - prompts[i]!);
  for (let t = 0; t < Math.max(...left); t++) {
    const next = wholes.map((whole, i) => [whole[prompts[i]! + t] ?? 0]);
    const lengths = prompts.map((length) => length + t + 1);
    const rows = (await server.run({ slots: [0, wholes.length], tokens: next, lengths }))[output]!;
    rows.forEach((row, slot) => {
      if (t < left[slot]!) served[slot]!.push(row);
    });
  }
  return served;
}

/** What scripts/fixtures/transformers_logits.py wrote. */
interface Fixture {
  readonly models: readonly {
    readonly name: string;
    readonly config: Published;
    readonly scorer: string;
    /** null for a family that transformers has no such class of. */
    readonly tagger: string | null;
    readonly sequences: readonly {
      ids: number[];
      logits: number[];
      score: number;
      token_scores: number[] | null;
    }[];
  }[];
}

function huggingFaceModels() {
  const path = new URL("../fixtures/transformers-logits.json", import.meta.url);
  const { models } = JSON.parse(readFileSync(path, "utf8")) as Fixture; // our own file
  return models.map(({ name, config: published, scorer, tagger, sequences }) => {
    const named = (className: string) => modelOf({ ...published, architectures: [className] });
    const config = modelOf(published);
    const rowsOf = (flat: readonly number[], count: number) =>
      Array.from({ length: count }, (_, t) =>
        flat.slice((t * flat.length) / count, ((t + 1) * flat.length) / count),
      );
    return {
      name,
      config,
      scorerConfig: named(scorer),
      taggerConfig: tagger === null ? null : named(tagger),
      sequences: sequences.map(({ ids, logits, score, token_scores: tokenScores }) => ({
        ids,
        score,
        expected: rowsOf(logits, ids.length),
        tokenScores: rowsOf(tokenScores ?? [], ids.length),
      })),
    };
  });
}
