/** Weights that a trainer goes on changing: the next answer is that of the new ones, and nobody's company changes a bit. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { AdapterBank, type NamedAdapter } from "../../src/engine/adapter-bank.ts";
import { Engine } from "../../src/engine/engine.ts";
import { ServingModel } from "../../src/engine/serving-model.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import { openRuntime, type Runtime, type Tensor } from "../../src/onnx/runtime/index.ts";
import { transformerWeights } from "../../src/onnx/transformer.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const limits = { sequencesMax: 16, queueSequencesMax: 64 };
const sampling = { ...plainSampling, maxTokens: 12, endTokens: new Set<number>(), seed: 3 };
const { signal } = new AbortController();

/** The source's weights as tensors of the test's own. */
function tensorsOf(seed: number): Map<string, Tensor<"float32">> {
  const source = tinySource(seed);
  return new Map(
    [...transformerWeights(tinyConfig, "logits").keys()].map((name) => {
      const { shape, data } = source.weight(name);
      return [name, runtime.tensor("float32", shape, data.slice())];
    }),
  );
}

async function liveEngine(
  tensors: ReadonlyMap<string, Tensor>,
  config = tinyConfig,
): Promise<Engine> {
  const source = { config, revision: "live", tensors };
  const turnstile = new Turnstile(systemClock);
  return new Engine(await ServingModel.live(runtime, source, { turnstile, threads: 1 }), limits);
}

test("what is written into the weights is what answers next, as a model loaded with them would", async () => {
  const tensors = tensorsOf(1);
  const live = await liveEngine(tensors);
  for (const seed of [1, 2]) {
    const source = tinySource(seed);
    for (const [name, tensor] of tensors) tensor.data.set(source.weight(name).data);
    const loaded = new Engine(await loadModel(runtime, source, "logits"), limits);
    const [own, other] = await Promise.all(
      [live, loaded].map((engine) => engine.score([1, 2, 3], [4, 5, 6, 7], { signal })),
    );
    for (const [t, logp] of other!.entries()) expect(own![t]).toBeCloseTo(logp, 4);
    const drawn = await live.sample([1, 2, 3], 2, sampling, { signal });
    const again = await loaded.sample([1, 2, 3], 2, sampling, { signal });
    expect(drawn.map(idsOf)).toEqual(again.map(idsOf));
    await loaded.dispose();
  }
  await live.dispose();
  for (const tensor of tensors.values()) tensor.dispose(); // the engine has left them alone
});

const idsOf = ({ tokens }: { readonly tokens: readonly { readonly id: number }[] }) =>
  tokens.map(({ id }) => id);

test("several answers to a long prompt, which they hold once, are those of a loaded model", async () => {
  const config = { ...tinyConfig, contextTokens: 320 };
  const source = { ...tinySource(1), config };
  const tensors = tensorsOf(1);
  const live = await liveEngine(tensors, config);
  const loaded = new Engine(await loadModel(runtime, source, "logits"), limits);
  const prompt = Array.from({ length: 270 }, (_, i) => (i * 7) % 61);
  const [own, other] = await Promise.all(
    [live, loaded].map((engine) => engine.sample(prompt, 5, sampling, { signal })),
  );
  expect(own!.map(idsOf)).toEqual(other!.map(idsOf));
  await Promise.all([live.dispose(), loaded.dispose()]);
  for (const tensor of tensors.values()) tensor.dispose();
});

test("an answer has the same bits alone and among others", async () => {
  const tensors = tensorsOf(1);
  const live = await liveEngine(tensors);
  const alone = await live.sample([5, 6], 1, sampling, { signal });
  const [among] = await Promise.all([
    live.sample([5, 6], 1, sampling, { signal }),
    live.sample([9, 8, 7], 6, { ...sampling, seed: 8 }, { signal }),
    live.sample([3], 5, { ...sampling, seed: 9 }, { signal }),
  ]);
  expect(among).toEqual(alone);
  await live.dispose();
  for (const tensor of tensors.values()) tensor.dispose();
});

test("an adapter's matrices are taken anew in place, beside those of others", () => {
  const random = createRandom(4);
  const draw = (n: number) => Float32Array.from({ length: n }, () => random.normal());
  const drawn = (id: string, rank: number): NamedAdapter => ({
    id,
    revision: id,
    matrices: new Map([
      ["m", { rank, inputs: 3, outputs: 2, scale: 0.5, a: draw(rank * 3), b: draw(2 * rank) }],
    ]),
  });
  const [other, before, after] = [drawn("other", 2), drawn("own", 3), drawn("own", 3)];
  const bank = new AdapterBank(runtime, [other, before]);
  const { tensors } = bank;
  bank.refresh(after);
  const anew = new AdapterBank(runtime, [other, after]);
  for (const [name, tensor] of Object.entries(anew.tensors))
    expect(tensors[name]!.data).toEqual(tensor.data);
  expect(() => bank.refresh(drawn("stranger", 1))).toThrow("stranger");
  bank.dispose();
  anew.dispose();
});
