/**
 * The transformer against Hugging Face's (logits computed there, in a fixture), and against itself:
 * packed and alone, whole and step by step over a cache, gradients and differences.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InvariantError } from "../../src/base/assert.ts";
import { createRandom } from "../../src/base/random.ts";
import { Graph } from "../../src/onnx/graph.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import {
  applyHead,
  packedForward,
  packedInputs,
  servingGraph,
  type TransformerConfig,
} from "../../src/onnx/transformer.ts";
import { count, nd } from "../support/arrays.ts";
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

describe.each(huggingFaceModels())("Hugging Face's numbers: $name", ({ config, sequences }) => {
  const ids = sequences.map((each) => each.ids);
  const model = (head: Model["head"]): Model => ({ config, head, values: formulaWeights });

  test("logits of whole sequences", async () => {
    const logits = await runPacked(runtime, model("logits"), ids, 16);
    for (const [i, { expected }] of sequences.entries())
      expect(distance(logits[i]!, expected)).toBeLessThan(2e-5);
  });
  test("scores of whole sequences, at their last token", async () => {
    const scores = await runPacked(runtime, model("scalar"), ids, 16);
    for (const [i, { score }] of sequences.entries())
      expect(scores[i]!.at(-1)![0]).toBeCloseTo(score, 4);
  });
  test("logits of the serving graph, prompt then token by token", async () => {
    const server = await Server.open(runtime, model("logits"), 1);
    for (const { ids: whole, expected } of sequences) {
      const served = await serveOne(server, whole, 2);
      expect(distance(served, expected)).toBeLessThan(1e-4);
    }
    server.dispose();
  });
});

describe("packing", () => {
  const model: Model = { config: tiny({}), head: "logits", values: randomWeights(1) };
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
  const prompts = [5, 1, 8];

  /** Each prompt alone into its slot, then one token of all at a time: their last rows, per sequence. */
  async function serveAll(server: Server, output: string): Promise<number[][][]> {
    const served: number[][][] = [];
    for (const [slot, whole] of wholes.entries()) {
      const prompt = whole.slice(0, prompts[slot]);
      const step = { slots: [slot, 1], tokens: [prompt], lengths: [prompt.length] } as const;
      served.push((await server.run(step))[output]!);
    }
    for (let t = 0; t < 7; t++) {
      const next = wholes.map((whole, i) => [whole[prompts[i]! + t]!]);
      const lengths = prompts.map((length) => length + t + 1);
      const rows = (await server.run({ slots: [0, 3], tokens: next, lengths }))[output]!;
      rows.forEach((row, slot) => {
        served[slot]!.push(row);
      });
    }
    return served;
  }

  test.each(["logits", "scalar"] as const)(
    "gives the %s of the whole sequences, in a ragged batch over caches in place",
    async (head) => {
      const model: Model = { config: tiny({}), head, values: randomWeights(2) };
      const server = await Server.open(runtime, model, 3);
      const served = await serveAll(server, head);
      server.dispose();
      const whole = await runPacked(runtime, model, wholes, 16);
      for (const [i, rows] of served.entries()) {
        expect(rows).toHaveLength(prompts[i]! + 7);
        expect(distance(rows, whole[i]!.slice(0, rows.length))).toBeLessThan(1e-4);
      }
    },
  );

  test("reads a prompt in chunks as at once", async () => {
    const model: Model = { config: tiny({}), head: "logits", values: randomWeights(2) };
    const server = await Server.open(runtime, model, 2);
    const [whole] = wholes as [number[]]; // three of them
    const once = await server.run({ slots: [0, 1], tokens: [whole], lengths: [12] });
    const first = { slots: [1, 1], tokens: [whole.slice(0, 5)], lengths: [5] } as const;
    const second = { slots: [1, 1], tokens: [whole.slice(5)], lengths: [12] } as const;
    const chunks = [(await server.run(first))["logits"]!, (await server.run(second))["logits"]!];
    server.dispose();
    expect(distance(chunks.flat(), once["logits"]!)).toBeLessThan(1e-4);
  });

  test("sums the distribution up: ln Σ e^logits, and Σ softmax(logits / T)", async () => {
    const model: Model = { config: tiny({}), head: "logits", values: randomWeights(2) };
    const server = await Server.open(runtime, model, 1);
    const step = { slots: [0, 1], tokens: [tokens(1, 4)], lengths: [4], temperature: 0.5 } as const;
    const { logits, log_sum_exp: logSumExp, cdf } = await server.run(step);
    server.dispose();
    for (const [t, row] of logits!.entries()) {
      expect(logSumExp![t]![0]).toBeCloseTo(Math.log(sum(row.map(Math.exp))), 5);
      const probabilities = softmax(row.map((logit) => logit / 0.5));
      const expected = probabilities.map((_, i) => sum(probabilities.slice(0, i + 1)));
      expect(distance([cdf![t]!], [expected])).toBeLessThan(1e-5);
    }
  });

  test("refuses heads that the runtime's attention cannot share or split", () => {
    expect(() => servingGraph(tiny({ heads: 3, kvHeads: 2 }), "logits")).toThrow(InvariantError);
    expect(() => servingGraph(tiny({ headDim: 24 }), "logits")).toThrow(/head size 24 is not a multiple of 16/);
  });
});

describe("the gradient of the whole model", () => {
  /**
   * In single precision, for the rotary operator knows no other. Rounding leaves 1e-3 of the smallest
   * gradients at this step, and curvature, where a weight is 0.3 or more, leaves less.
   */
  test.each([
    { says: "tied embeddings", config: tiny({ tieEmbeddings: true }) },
    { says: "untied, with biases", config: tiny({ attentionBias: true, mlpBias: true }) },
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
    const hidden = packedForward(g, config, weight, packedInputs(g));
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

function tiny(changes: Partial<TransformerConfig>): TransformerConfig {
  return {
    vocabSize: 31,
    hiddenSize: 24,
    intermediateSize: 20,
    layers: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    normEpsilon: 1e-5,
    ropeTheta: 10_000,
    contextTokens: 16,
    tieEmbeddings: false,
    attentionBias: false,
    mlpBias: false,
    ...changes,
  };
}

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

/** A prompt of `prompt` tokens, then one at a time: the logits of every token. */
async function serveOne(server: Server, whole: readonly number[], prompt: number) {
  const step = { slots: [0, 1], tokens: [whole.slice(0, prompt)], lengths: [prompt] } as const;
  const rows = [...(await server.run(step))["logits"]!];
  for (let t = prompt; t < whole.length; t++) {
    const next = { slots: [0, 1], tokens: [[whole[t]!]], lengths: [t + 1] } as const;
    rows.push(...(await server.run(next))["logits"]!);
  }
  return rows;
}

/** The weights' formula of scripts/fixtures/llama_logits.py. */
function formulaWeights(name: string, size: number): Float32Array {
  const n = sum([...Buffer.from(name)]);
  return Float32Array.from({ length: size }, (_, i) => {
    const u = ((7919 * i + 31 * i * i + 104729 * n) % 1009) / 1009 - 0.5;
    return name.endsWith("norm.weight") ? 1 + 0.5 * u : 0.6 * u;
  });
}

/** What scripts/fixtures/llama_logits.py wrote. */
interface Fixture {
  readonly models: readonly {
    readonly name: string;
    readonly settings: Record<string, number> & {
      tie_word_embeddings: boolean;
      attention_bias?: boolean;
      mlp_bias?: boolean;
    };
    readonly sequences: readonly { ids: number[]; logits: number[]; score: number }[];
  }[];
}

function huggingFaceModels() {
  const path = new URL("../fixtures/llama-logits.json", import.meta.url);
  const { models } = JSON.parse(readFileSync(path, "utf8")) as Fixture; // our own file
  return models.map(({ name, settings: s, sequences }) => ({
    name,
    config: {
      vocabSize: s["vocab_size"]!,
      hiddenSize: s["hidden_size"]!,
      intermediateSize: s["intermediate_size"]!,
      layers: s["num_hidden_layers"]!,
      heads: s["num_attention_heads"]!,
      kvHeads: s["num_key_value_heads"]!,
      headDim: s["hidden_size"]! / s["num_attention_heads"]!,
      normEpsilon: s["rms_norm_eps"]!,
      ropeTheta: s["rope_theta"]!,
      contextTokens: s["max_position_embeddings"]!,
      tieEmbeddings: s.tie_word_embeddings,
      attentionBias: s.attention_bias ?? false,
      mlpBias: s.mlp_bias ?? false,
    },
    sequences: sequences.map(({ ids, logits, score }) => ({
      ids,
      score,
      expected: ids.map((_, t) => logits.slice(t * s["vocab_size"]!, (t + 1) * s["vocab_size"]!)),
    })),
  }));
}
