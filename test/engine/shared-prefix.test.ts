/** Candidates that hold their prompt once, against the same model with a slot for each. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bytesPerToken } from "../../src/engine/cache.ts";
import { Engine, type EngineOptions } from "../../src/engine/engine.ts";
import type { Completion } from "../../src/engine/types.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { TransformerConfig } from "../../src/onnx/transformer.ts";
import { plainSampling } from "../support/reference-sampling.ts";
import { loadModel, tinyConfig, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const { signal } = new AbortController();
const long: TransformerConfig = { ...tinyConfig, contextTokens: 1100 };
const sampling = (maxTokens: number, seed = 1) => ({
  ...plainSampling,
  maxTokens,
  endTokens: new Set([7]),
  seed,
});
const promptOf = (length: number, seed = 1) =>
  Array.from({ length }, (_, t) => (t * t * seed + 3 * t + 8) % 61);
const ids = ({ tokens }: Completion) => tokens.map(({ id }) => id);

async function open(
  options: Partial<EngineOptions> = {},
  config = long,
  format: "float32" | "int8" | "int4" = "float32",
): Promise<Engine> {
  const model = await loadModel(runtime, tinySource(1, config), "logits", { format });
  return new Engine(model, { sequencesMax: 16, queueSequencesMax: 64, ...options });
}

describe("the distribution", () => {
  const rotary = long.attention[0]!.rotary;
  const variants: [string, TransformerConfig][] = [
    ["with grouped heads", long],
    ["with a head for each query", { ...long, kvHeads: long.heads }],
    [
      "with windows shorter and longer than the prompt",
      {
        ...long,
        attention: [
          { window: 40, rotary },
          { window: 290, rotary },
          { window: null, rotary },
        ],
      },
    ],
    [
      "with a soft cap, and layers that know no positions",
      {
        ...long,
        attentionSoftcap: 2,
        attention: [
          { window: null, rotary },
          { window: null, rotary: null },
        ],
      },
    ],
  ];
  test.each(variants)("is that of whole slots %s", async (_, config) => {
    const engine = await open({}, config);
    const prompt = promptOf(280);
    for (const completion of await engine.sample(prompt, 5, sampling(90), { signal })) {
      const scored = await engine.score(prompt, ids(completion), { signal });
      for (const [t, { logprob }] of completion.tokens.entries()) {
        expect(Math.abs(scored[t]! - logprob)).toBeLessThan(1e-4);
      }
    }
    await engine.dispose();
  });
});

describe("a candidate's bits", () => {
  test.each(["float32", "int8", "int4"] as const)(
    "are the same alone, in company, and after giving way (%s)",
    async (format) => {
      const config = { ...long, hiddenSize: 64, intermediateSize: 64 }; // whole blocks of the few-bit formats
      const [quiet, busy] = [
        await open({}, config, format),
        await open({ sequencesMax: 6 }, config, format),
      ];
      const requests = [4, 9, 5].map((n, seed) => ({
        prompt: promptOf(256 + 40 * seed, seed + 1),
        n,
        sampling: { ...sampling(90 - 30 * seed, seed), endTokens: new Set<number>() },
      }));
      const ones = [1, 2, 3, 4].map((seed) => ({
        prompt: promptOf(10 * seed, seed),
        n: 1,
        sampling: sampling(12, seed),
      }));
      const inAdvance = requests.map((each) =>
        busy.sample(each.prompt, each.n, each.sampling, { signal }),
      );
      await busy.sample([1], 1, sampling(3), { signal }); // by now the others have begun
      const urgent = ones.map((each) =>
        busy.sample(each.prompt, each.n, each.sampling, { signal, priority: 1 }),
      );
      const together = await Promise.all([...inAdvance, ...urgent]);
      expect(busy.stats.preemptions).toBeGreaterThan(0);
      for (const [i, each] of [...requests, ...ones].entries()) {
        expect(together[i]).toEqual(
          await quiet.sample(each.prompt, each.n, each.sampling, { signal }),
        );
      }
      await Promise.all([quiet.dispose(), busy.dispose()]);
    },
  );
});

test("64 candidates of 1,000 tokens take the memory of one prompt and 64 answers", async () => {
  const engine = await open({ sequencesMax: 64 });
  let largest = 0;
  const { tokens } = (
    await engine.sample(
      promptOf(1000),
      64,
      { ...sampling(40), endTokens: new Set() },
      {
        signal,
        onToken() {
          largest = Math.max(largest, engine.stats.cacheBytes);
          return false;
        },
      },
    )
  )[0]!;
  expect(tokens).toHaveLength(40);
  const slots = 64 * 64 + 1024 + 64; // answers, the prompt, the smallest slot of everybody else's batch
  expect(largest).toBe(slots * bytesPerToken(long));
  await engine.dispose();
});

test("a cancelled request gives back its prompt's memory, and others go on", async () => {
  const engine = await open({ sequencesMax: 8 });
  const controller = new AbortController();
  const doomed = engine.sample(promptOf(300), 6, sampling(500), {
    signal: controller.signal,
    onToken: () => {
      controller.abort(new Error("gone"));
      return false;
    },
  });
  const stays = engine.sample(promptOf(300, 2), 4, sampling(30), { signal });
  await expect(doomed).rejects.toThrow("gone");
  expect(await stays).toHaveLength(4);
  await engine.sample([1], 1, sampling(1), { signal }); // a step later
  expect(engine.stats.cacheBytes).toBe(64 * bytesPerToken(long));
  await engine.dispose();
});
