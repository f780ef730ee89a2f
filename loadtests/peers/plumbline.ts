/**
 * This project's engine. Samples of one prompt are one request, whose prompt is read once. Nothing is kept of earlier
 * prompts, as the peers keep nothing.
 */
import { systemClock } from "../../src/base/clock.ts";
import { Engine } from "../../src/engine/engine.ts";
import { ServingModel } from "../../src/engine/serving-model.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import type { Sampling } from "../../src/engine/types.ts";
import { openRuntime } from "../../src/onnx/runtime/index.ts";
import { readModelSource } from "../../src/registry/load.ts";
import { openAiDefaults } from "../../src/registry/policy.ts";
import { answerBench, type Work } from "../peer-protocol.ts";

const SEQUENCES_MAX = 64;
const elapsedMs = () => systemClock.elapsedMs();

await answerBench(async ({ checkpoint, threads }) => {
  const turnstile = new Turnstile(systemClock);
  const source = await readModelSource(checkpoint);
  const common = { provider: "cpu", turnstile, threads } as const;
  const model = await ServingModel.load(openRuntime(), source, "logits", common);
  const engine = new Engine(model, {
    sequencesMax: SEQUENCES_MAX,
    queueSequencesMax: SEQUENCES_MAX,
  });

  return async (work) => {
    const started = elapsedMs();
    const requests = await Promise.all(
      work.prompts.map((prompt, index) => request(prompt, index, work)),
    );
    return {
      ms: elapsedMs() - started,
      firstMs: requests.flatMap(({ firstAt }) => firstAt.map((at) => at - started)),
      tokens: requests.flatMap(({ tokens }) => tokens),
    };
  };

  async function request(prompt: readonly number[], index: number, work: Work) {
    const firstAt: number[] = [];
    const completions = await engine.sample(prompt, work.samples, samplingOf(work, index), {
      signal: new AbortController().signal,
      onToken(candidate) {
        firstAt[candidate] ??= elapsedMs();
        return false;
      },
    });
    return { firstAt, tokens: completions.map(({ tokens }) => tokens.map(({ id }) => id)) };
  }
});

function samplingOf({ tokens, sampling }: Work, seed: number): Sampling {
  return {
    ...openAiDefaults,
    ...(sampling === "greedy" ? { temperature: 0 } : { temperature: 1, topK: 50 }),
    maxTokens: tokens,
    endTokens: new Set(), // every sequence runs to its full length
    seed,
  };
}
