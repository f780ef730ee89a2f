/** Decoding speed by batch size, the cost of best-of-16, and the share of a step inside ONNX Runtime. */
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { Engine } from "../src/engine/engine.ts";
import { ServingModel } from "../src/engine/serving-model.ts";
import { Turnstile } from "../src/engine/turnstile.ts";
import type { Sampling } from "../src/engine/types.ts";
import { openRuntime } from "../src/onnx/runtime/index.ts";
import { readModelSource } from "../src/registry/load.ts";
import { loadReward } from "../src/registry/load-reward.ts";
import { openAiDefaults } from "../src/registry/policy.ts";
import { Tokenizer } from "../src/text/tokenizer.ts";

const MODELS = join(import.meta.dirname, "../models");
const TOKENS = 64;
const REPEATS = 7;
const SIZES = [1, 8, 32] as const;
const QUESTION =
  "Emma buys 3 packs of 4 pencils and gives away 5 pencils. How many pencils are left?";

/** Every sequence runs to its full length: an answer's end would make the lengths differ. */
const sampling: Sampling = {
  ...openAiDefaults,
  maxTokens: TOKENS,
  endTokens: new Set(),
  seed: 1,
};

export async function measureEngine() {
  const runtime = openRuntime();
  const turnstile = new Turnstile(systemClock);
  const common = { runtime, provider: "cpu", turnstile } as const;
  const source = await readModelSource(join(MODELS, "tiny-chat"));
  const model = await ServingModel.load(runtime, source, "logits", common);
  const engine = new Engine(model, { sequencesMax: 64, queueSequencesMax: 64 });
  const reward = await loadReward({ ...common, folder: join(MODELS, "tiny-reward") });
  const tokenizer = await Tokenizer.load(join(MODELS, "tiny-chat"));
  const prompt = tokenizer.encode(
    `<|im_start|>user\n${QUESTION}<|im_end|>\n<|im_start|>assistant\n`,
    { special: "parse" },
  );
  const { signal } = new AbortController();

  const sample = (n: number) => engine.sample(prompt, n, sampling, { signal });
  const bestOf16 = async () => {
    const session = reward.reward.open({ messages: [{ role: "user", content: QUESTION }] }, signal);
    const scores: Promise<number>[] = [];
    await engine.sample(prompt, 16, sampling, {
      signal,
      onCompletion: ({ tokens }) =>
        scores.push(session.score(tokenizer.decode(tokens.map(({ id }) => id)))),
    });
    await Promise.all(scores);
    session.close();
  };
  const shares: number[] = [];
  const measured32 = async () => {
    const before = model.runMs;
    const ms = await timed(() => sample(32));
    shares.push((model.runMs - before) / ms);
    return ms;
  };

  // Interleaved, so that a machine that slows down slows all of them.
  const ms = { 1: [] as number[], 8: [] as number[], 32: [] as number[], best: [] as number[] };
  for (let repeat = -1; repeat < REPEATS; repeat++) {
    const round = {
      1: await timed(() => sample(1)),
      8: await timed(() => sample(8)),
      32: await measured32(),
      best: await timed(bestOf16),
    };
    if (repeat < 0)
      shares.length = 0; // the first round warms up
    else for (const key of [...SIZES, "best"] as const) ms[key].push(round[key]);
  }
  await engine.dispose();
  await reward.engine.dispose();
  const perSecond = (n: (typeof SIZES)[number]) => (n * TOKENS * 1000) / median(ms[n]);
  return {
    tokensPerSecond: { 1: perSecond(1), 8: perSecond(8), 32: perSecond(32) },
    singleMs: median(ms[1]),
    bestOf16Ms: median(ms.best),
    ortShare: median(shares),
  };
}

export async function timed(task: () => Promise<unknown>): Promise<number> {
  const started = systemClock.elapsedMs();
  await task();
  return systemClock.elapsedMs() - started;
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
