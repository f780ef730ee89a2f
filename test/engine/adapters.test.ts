/** Adapters in the engine: PEFT's numbers, many in one batch, loaded and unloaded while others are served. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { readAdapter } from "../../src/checkpoints/adapter.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import type { NamedAdapter } from "../../src/engine/adapter-bank.ts";
import { Engine } from "../../src/engine/engine.ts";
import type { ModelSource } from "../../src/engine/serving-model.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { modelOf, type Published } from "../support/configs.ts";
import { formulaWeights } from "../support/formula-weights.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { expectSame, few } from "../support/test-provider.ts";
import { loadModel } from "../support/tiny-model.ts";

const fixture = join(import.meta.dirname, "../fixtures/peft");
const {
  config: published,
  ids,
  logits,
} = JSON.parse(readFileSync(join(fixture, "logits.json"), "utf8")) as {
  config: Published;
  ids: number[];
  logits: number[][];
}; // our own file
const config = modelOf({ ...published, max_position_embeddings: 256 });
const base: ModelSource = {
  config,
  revision: "base",
  weight: (name) => {
    const shape = weightShapes(config).get(name)!;
    return { shape, data: formulaWeights(name, shape[0]! * (shape[1] ?? 1)) };
  },
};

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const sampling = { ...plainSampling, maxTokens: few(20, 6), endTokens: new Set<number>(), seed: 3 };
const prompt = ids.slice(0, 4);

async function open(source = base): Promise<Engine> {
  const model = await loadModel(runtime, source, "logits");
  return new Engine(model, { sequencesMax: 8, queueSequencesMax: 64, prefixBytesMax: 1e8 });
}

const peft = async (id: string): Promise<NamedAdapter> => ({
  ...(await readAdapter(fixture, config)),
  id,
});

/** Of one module and rank. */
function drawn(id: string, module: string, rank: number): NamedAdapter {
  const random = createRandom(rank);
  const [outputs, inputs] = weightShapes(config).get(`${module}.weight`)! as [number, number];
  const draw = (n: number) => Float32Array.from({ length: n }, () => 0.3 * random.normal());
  const [a, b] = [draw(rank * inputs), draw(outputs * rank)];
  const matrix = { rank, inputs, outputs, scale: 0.7, a, b };
  return { id, revision: `drawn-${id}-${rank}`, matrices: new Map([[module, matrix]]) };
}

/** The base with the adapter added to its matrices. */
function merged({ matrices }: NamedAdapter): ModelSource {
  return {
    ...base,
    weight(name) {
      const { shape, data } = base.weight(name);
      const matrix = matrices.get(name.replace(/\.weight$/, ""));
      if (!matrix) return { shape, data };
      const { rank, inputs, scale, a, b } = matrix;
      const sum = data.map((value, at) => {
        const [row, column] = [Math.floor(at / inputs), at % inputs];
        let added = 0;
        for (let k = 0; k < rank; k++) added += b[row * rank + k]! * a[k * inputs + column]!;
        return value + scale * added;
      });
      return { shape, data: sum };
    },
  };
}

test("give PEFT's numbers", async () => {
  const engine = await open();
  await engine.loadAdapter(await peft("tuned"));
  const scored = await engine.score(ids.slice(0, 1), ids.slice(1), { signal, adapter: "tuned" });
  ids.slice(1).forEach((id, t) => {
    const row = logits[t]!;
    const expected = row[id]! - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    expect(scored[t]).toBeCloseTo(expected, 4);
  });
  await engine.dispose();
});

describe("many at once", () => {
  const other = drawn("other", "model.layers.0.mlp.gate_proj", 5);

  test("each row has its own, and not a bit depends on which others are there", async () => {
    const engine = await open();
    const plain = await engine.sample(prompt, 2, sampling, { signal });
    await engine.loadAdapter(other);
    const alone = await engine.sample(prompt, 2, sampling, { signal, adapter: "other" });
    await engine.loadAdapter(await peft("tuned"));
    const [a, b, c] = await Promise.all([
      engine.sample(prompt, 2, sampling, { signal }),
      engine.sample(prompt, 2, sampling, { signal, adapter: "other" }),
      engine.sample(prompt, 2, sampling, { signal, adapter: "tuned" }),
    ]);
    expectSame(a, plain);
    expectSame(b, alone);
    expect(c).not.toEqual(plain);
    expect(b).not.toEqual(plain);
    await engine.dispose();
  });

  test("are the merged models", async () => {
    const engine = await open();
    const adapters = [other, await peft("tuned")];
    for (const adapter of adapters) await engine.loadAdapter(adapter);
    for (const adapter of adapters) {
      const whole = await open(merged(adapter));
      const expected = await whole.score(prompt, ids, { signal });
      const found = await engine.score(prompt, ids, { signal, adapter: adapter.id });
      found.forEach((value, t) => {
        expect(value).toBeCloseTo(expected[t]!, 4);
      });
      await whole.dispose();
    }
    await engine.dispose();
  });
});

describe("while others are served", () => {
  test("one is loaded, and another leaves after its last request; nobody notices", async () => {
    const engine = await open();
    const leaving = drawn("leaving", "model.layers.1.self_attn.o_proj", 2);
    await engine.loadAdapter(leaving);
    const expected = await Promise.all([
      engine.sample(prompt, 3, sampling, { signal }),
      engine.sample(prompt, 3, sampling, { signal, adapter: "leaving" }),
    ]);
    const order: string[] = [];
    const plain = engine.sample(prompt, 3, sampling, { signal });
    const last = engine.sample(prompt, 3, sampling, { signal, adapter: "leaving" });
    const changes = [
      engine.unloadAdapter("leaving").then(() => order.push("unloaded")),
      engine.loadAdapter(await peft("tuned")).then(() => order.push("loaded")),
    ];
    expect(() => engine.sample(prompt, 1, sampling, { signal, adapter: "leaving" })).toThrow(
      /leaving/,
    );
    const answered = last.then((completions) => {
      order.push("answered");
      return completions;
    });
    expectSame(await Promise.all([plain, answered]), expected);
    await Promise.all(changes);
    expect(order).toEqual(["answered", "unloaded", "loaded"]);
    await engine.sample(prompt, 1, sampling, { signal, adapter: "tuned" });
    await engine.dispose();
  });

  test("another under the same id is never answered from the old one's prompts", async () => {
    const engine = await open();
    const long = Array.from({ length: 150 }, (_, i) => (5 * i + 3) % 31);
    const versions = [2, 3].map((rank) => drawn("mine", "model.layers.0.self_attn.k_proj", rank));
    const answers = [];
    for (const version of versions) {
      await engine.loadAdapter(version);
      const again = () => engine.sample(long, 1, sampling, { signal, adapter: "mine" });
      answers.push(await again());
      expectSame(await again(), answers.at(-1));
      await engine.unloadAdapter("mine");
    }
    const fresh = await open();
    await fresh.loadAdapter(versions[1]!);
    expectSame(await fresh.sample(long, 1, sampling, { signal, adapter: "mine" }), answers[1]);
    expect(answers[0]).not.toEqual(answers[1]);
    expect(engine.stats.prefixes.found).toBe(2 * 128); // of the second request of each version
    await Promise.all([engine.dispose(), fresh.dispose()]);
  });
});
