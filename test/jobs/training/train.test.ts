/** Trainings from files to folders, in this process: what comes out, what is refused, and what is said of it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { compileOptions } from "../../../src/base/options.ts";
import { Checkpoint } from "../../../src/checkpoints/checkpoint.ts";
import { Turnstile } from "../../../src/engine/turnstile.ts";
import { methods } from "../../../src/jobs/training/methods.ts";
import type { TrainingOptions } from "../../../src/jobs/training/options.ts";
import { train } from "../../../src/jobs/training/train.ts";
import { loadPolicy } from "../../../src/registry/load.ts";
import { loadReward } from "../../../src/registry/load-reward.ts";
import { isPairwiseReward } from "../../../src/rewards/define.ts";
import type { StepReport } from "../../../src/train/loop.ts";
import {
  jsonLines,
  pairRows,
  supervisedRows,
  tinyCheckpoint,
} from "../../support/tiny-checkpoint.ts";
import { usualReading, usualTraining } from "../../support/training-options.ts";
import { temporaryFolder, testRuntime } from "../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const at = (name: string) => join(folder, name);

let base: string;
const files = { sft: at("sft.jsonl"), pairs: at("pairs.jsonl") };
beforeAll(async () => {
  base = await tinyCheckpoint(at("base"));
  jsonLines(files.sft, supervisedRows(24));
  jsonLines(files.pairs, pairRows(24));
});

type Changes = Partial<Omit<TrainingOptions, "data">> & {
  readonly data?: Partial<TrainingOptions["data"]>;
};

function options(name: string, out: string, { data, ...changes }: Changes = {}): TrainingOptions {
  const method = methods.find(({ loss }) => loss.name === name)!;
  return {
    method,
    lossOptions: compileOptions(method.loss, name)({}),
    ...usualTraining,
    steps: 6,
    passTokens: 4096,
    evaluateEvery: 2,
    base,
    out: at(out),
    checkpointEvery: 3,
    ...changes,
    data: {
      ...usualReading,
      files: [name === "sft" ? files.sft : files.pairs],
      heldOut: 0.2,
      ...data,
    },
  };
}

async function trained(name: string, out: string, changes: Changes = {}) {
  const steps: StepReport[] = [];
  const listener = {
    onStart: () => {},
    onReferences: () => {},
    onStep: (report: StepReport) => void steps.push(report),
  };
  return { summary: await train(runtime, options(name, out, changes), listener), steps };
}

const { signal } = new AbortController();
const serving = {
  runtime,
  provider: "cpu",
  turnstile: new Turnstile(systemClock),
  cacheDir: at("cache"),
} as const;

describe("what comes out", () => {
  test("of sft is a policy that serves and has learned, with card, report and numbers", async () => {
    const { summary, steps } = await trained("sft", "sft", { steps: 30, learningRate: 0.02 });
    expect(steps[0]!.metrics["loss"]).toBeCloseTo(Math.log(1536), 0); // small weights guess uniformly
    expect(summary.heldOutLoss).toBeLessThan(2.5);
    const { policy, engine } = await loadPolicy({
      ...serving,
      folder: at("sft"),
      sequencesMax: 2,
      queueSequencesMax: 2,
      cacheBytesMax: 2 ** 24,
    });
    const prompt = policy.encode({ kind: "text", text: "Say red" });
    const sampling = { ...policy.defaults, maxTokens: 4, seed: 1 };
    const [answer] = await policy.generate(prompt, 1, sampling, { signal });
    expect(answer!.tokens.length).toBeGreaterThan(0);
    await engine.dispose();
    const read = (name: string) => readFileSync(join(at("sft"), name), "utf8");
    const card = read("README.md");
    expect(card).toMatch(/^---\nbase_model: base\n/);
    expect(card).toContain("| --learning-rate | 0.02 |");
    expect(card).toMatch(/\| sft\.jsonl \| 24 \| [0-9a-f]{64} \|/);
    expect(read("report.html")).toContain("<svg");
    expect(read("metrics.prom")).toContain('plumbline_training_step{method="sft"} 30');
    const lines = read("metrics.jsonl").trim().split("\n");
    expect(lines).toHaveLength(30 + 15);
    expect(existsSync(join(at("sft"), "training", "state.safetensors"))).toBe(false);
  });

  test("of dpo starts at log-ratios of exactly 0, and widens the margin of pairs held out", async () => {
    const { steps } = await trained("dpo", "dpo", { steps: 12 });
    const [first, last] = [steps[0]!, steps.at(-1)!];
    expect(first.metrics["margin"]).toBe(0);
    expect(first.metrics["chosen_reward"]).toBe(0);
    expect(first.metrics["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(last.heldOut!["margin"]).toBeGreaterThan(0.2);
    expect(last.heldOut!["accuracy"]).toBe(1);
  });

  test("of bradley-terry on a language model is a reward model that serves and prefers the chosen", async () => {
    await trained("bradley-terry", "reward", { steps: 20 });
    const { reward, engine } = await loadReward({ ...serving, folder: at("reward") });
    const messages = [{ role: "user", content: "Say red 9" }];
    const session = reward.open({ kind: "chat", messages } as never, signal);
    const chosen = await session.score("It is red.");
    expect(chosen).toBeGreaterThan(await session.score("No, two and no more of it."));
    session.close();
    await engine.dispose();
    expect((await Checkpoint.open(at("reward"))).config.files.config["id2label"]).toEqual({
      0: "LABEL_0",
    });
  });

  test("of bradley-terry on prefixes is a reward model that knows from an answer's beginning", async () => {
    const { steps } = await trained("bradley-terry", "prefixed", { steps: 24, prefixes: true });
    expect(steps[0]!.metrics["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(steps.at(-1)!.heldOut!["accuracy"]).toBeGreaterThan(0.9); // over all beginnings of answers not seen
  });

  test("of preference-model is a reward that compares, of answers that it has not seen, and is known by its folder", async () => {
    const { steps } = await trained("preference-model", "taste", { steps: 24 });
    expect(steps[0]!.metrics["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(steps.at(-1)!.heldOut!["accuracy"]).toBe(1);
    const { reward, engine } = await loadReward({ ...serving, folder: at("taste") });
    expect(isPairwiseReward(reward)).toBe(true);
    if (!isPairwiseReward(reward)) return;
    const messages = [{ role: "user", content: "Say red 9" }];
    const session = reward.open({ messages }, signal);
    const [good, bad] = ["It is red.", "No, two and no more of it."] as const;
    const preference = await session.compare(good, bad);
    expect(preference).toBeGreaterThan(0.75);
    expect(await session.compare(bad, good)).toBeCloseTo(1 - preference, 6);
    session.close();
    await engine.dispose();
    await trained("bradley-terry", "untaught", { steps: 1, base: at("taste") });
    const plain = await loadReward({ ...serving, folder: at("untaught") });
    expect(isPairwiseReward(plain.reward)).toBe(false);
    await plain.engine.dispose();
  });

  test("of conditional-sft tells on the card which words were learned from where on", async () => {
    const conditioning = {
      words: ["Bad.", "Good."],
      levels: { quantiles: [0.5] },
      place: "system",
    } as const;
    const rows = pairRows(12).flatMap(({ prompt, chosen, rejected }, i) => [
      { prompt, completion: chosen, reward: 2 + i / 100 },
      { prompt, completion: rejected, reward: 1 },
    ]);
    const data = { files: [jsonLines(at("rewarded.jsonl"), rows)], heldOut: 0 };
    const { summary } = await trained("conditional-sft", "told", { steps: 2, conditioning, data });
    expect(summary.trainLoss).toBeGreaterThan(0);
    const card = readFileSync(join(at("told"), "README.md"), "utf8");
    expect(card).toContain('| control word | "Bad." (system) |');
    expect(card).toContain('| control word from 1.500 | "Good." (system) |');
    expect(card).toContain("| --quantiles | 0.5 |");
  });

  test("of pair losses that are told more than the answers is what their rows say, from the first step on", async () => {
    const margins = {
      data: {
        files: [
          jsonLines(
            at("margins.jsonl"),
            pairRows(24).map((row) => ({ ...row, margin: 2 })),
          ),
        ],
      },
    };
    const first = async (name: string, changes: Changes = {}) =>
      (await trained(name, `more-${name}`, { steps: 2, passTokens: 256, ...changes })).steps[0]!
        .metrics;
    expect((await first("rpo-relative"))["loss"]).toBeCloseTo(Math.LN2, 6);
    const { loss, weight } = await first("wpo");
    expect(loss).toBeCloseTo(weight! * Math.LN2, 6);
    expect(weight).toBeGreaterThan(0);
    const known = 1 / (1 + Math.exp(-2));
    const entropy = -known * Math.log(known) - (1 - known) * Math.log(1 - known);
    const aware = await first("rpo-reward-aware", margins);
    expect(aware["loss"]).toBeCloseTo(Math.LN2 - entropy, 5); // KL(σ(2) ‖ ½)
    const short = await first("dpo", { lossOptions: { ld_alpha: 0.5 } });
    expect(short["margin"]).toBe(0); // the reference counts the same tokens as much
    await expect(trained("rpo-reward-aware", "none", {})).rejects.toThrow(/has no margin/);
  });

  test("is there for a base whose context is no multiple of the rows that texts are packed in", async () => {
    const short = await tinyCheckpoint(at("short"), { max_position_embeddings: 21 });
    const file = jsonLines(at("long.jsonl"), [
      { prompt: "Say red", completion: "one two three four red green blue grey ".repeat(2) },
    ]);
    const data = { files: [file], heldOut: 0, badRows: "refuse" as const };
    const { steps } = await trained("sft", "short-sft", { base: short, data });
    for (const { tokens } of steps) expect(tokens).toBe(32); // of which 21 fit the context
    expect(steps).toHaveLength(6);
  });

  test("of kto and of a list loss is trained too", async () => {
    const kto = await trained("kto", "kto", { steps: 2 });
    expect(kto.steps[0]!.metrics["loss"]).toBeCloseTo(0.5, 6);
    const lists = jsonLines(
      at("lists.jsonl"),
      pairRows(12).map(({ prompt, chosen, rejected }) => ({
        prompt,
        completions: [rejected[0]!.content, chosen[0]!.content],
        rewards: [0, 1],
      })),
    );
    const list = await trained("dpo-plackett-luce", "list", { steps: 2, data: { files: [lists] } });
    expect(list.steps[0]!.metrics["loss"]).toBeCloseTo(Math.LN2, 6);
  });
});

describe("the same training", () => {
  const weightsAt = async (out: string) => (await Checkpoint.open(at(out))).weights();

  test.each(["sft", "dpo"])(
    "%s in small passes comes to the weights of one pass a step",
    async (name) => {
      const whole = await trained(name, `${name}-whole`);
      const passes = await trained(name, `${name}-passes`, { passTokens: 128 });
      expect(passes.steps[0]!.metrics["gradient_norm"]).toBeCloseTo(
        whole.steps[0]!.metrics["gradient_norm"]!,
        4,
      );
      const [a, b] = [await weightsAt(`${name}-whole`), await weightsAt(`${name}-passes`)];
      let furthest = 0;
      for (const [key, { data }] of a)
        data.forEach((value, i) => {
          furthest = Math.max(furthest, Math.abs(value - b.get(key)!.data[i]!));
        });
      expect(furthest).toBeLessThan(2e-3); // six steps of up to 0.01 each, where Adam divides rounding by rounding
    },
  );

  test("with patience stops where the held-out loss no longer falls, and keeps the best weights", async () => {
    const changes = { steps: 60, learningRate: 0.5, evaluateEvery: 1, patience: 3 };
    const { summary, steps } = await trained("sft", "patience", changes);
    expect(summary.stoppedEarly).toBe(true);
    const losses = steps.map(({ heldOut }) => heldOut!["loss"]!);
    expect(summary.steps).toBe(summary.keptStep + 3);
    expect(losses[summary.keptStep - 1]).toBe(Math.min(...losses));
    expect(summary.heldOutLoss).toBe(Math.min(...losses));
    const same = await trained("sft", "until", {
      ...changes,
      steps: summary.keptStep,
      patience: 0,
    });
    expect(same.summary.steps).toBe(summary.keptStep);
    expect(await weightsAt("until")).toEqual(await weightsAt("patience"));
  });
});

describe("is refused before it starts, with nothing written", () => {
  const refusal = async (name: string, changes: Changes) => {
    const error = await trained(name, "refused", changes).then(
      () => null,
      (problem: unknown) => problem,
    );
    expect(existsSync(join(at("refused"), "training"))).toBe(false);
    return error as Error;
  };
  const withRows = (name: string, rows: readonly object[]) => ({
    data: { files: [jsonLines(at(name), rows)] },
  });

  test("for memory that is not there, with the number", async () => {
    const { message } = await refusal("sft", { memoryBytesMax: 2 ** 20 });
    expect(message).toMatch(/Training needs about \d+ MiB of memory, and 1 MiB may be used/);
  });

  test("for prompts beyond the context, unless they are to be dropped", async () => {
    const rows = [
      ...supervisedRows(8),
      { prompt: "and on ".repeat(80), completion: "It is long." },
    ];
    const { message } = await refusal("sft", withRows("long.jsonl", rows));
    expect(message).toMatch(/1 rows cannot be used:\n.*long.jsonl, line 9: it has more tokens/);
    const { data } = withRows("long.jsonl", rows);
    const dropping = { steps: 1, data: { ...data, badRows: "drop" as const } };
    const { summary } = await trained("sft", "dropped", dropping);
    expect(summary.steps).toBe(1);
    expect(readFileSync(join(at("dropped"), "README.md"), "utf8")).toContain(
      "- 1 rows: it has more",
    );
  });

  test("for pairs of equal answers, rewards of NaN, no rows and rows of another kind, with the place", async () => {
    const [pair] = pairRows(1);
    const equal = { ...pair!, rejected: pair!.chosen };
    expect((await refusal("dpo", withRows("e.jsonl", [pair!, equal]))).message).toMatch(
      /line 2.*equal/,
    );
    const list = { prompt: "a?", completions: ["b", "c"], rewards: [1, null] };
    expect((await refusal("rrhf", withRows("n.jsonl", [list]))).message).toMatch(/line 1/);
    expect((await refusal("sft", withRows("none.jsonl", []))).message).toContain("no row");
    expect((await refusal("dpo", withRows("s.jsonl", supervisedRows(2)))).message).toMatch(
      /s.jsonl, line 1: dpo learns from a chosen and a rejected answer/,
    );
  });

  test("for a folder of something else, or a base that is not there", async () => {
    const error = await trained("sft", "base").catch((problem: unknown) => problem);
    expect(String(error)).toMatch(/it holds other files/);
    expect((await refusal("sft", { base: at("nowhere") })).message).toContain("config.json");
  });
});

test("a loss that is no number any more stops it, and names the rows that it came from", async () => {
  const error = await trained("sft", "diverged", {
    learningRate: 1e30,
    clipNorm: 0,
  }).catch((problem: unknown) => problem);
  expect(error).toMatchObject({ code: "training_diverged" });
  expect(String(error)).toMatch(/of step [2-6] is (NaN|Infinity).*sft.jsonl, lines \d+, \d+/);
  expect(existsSync(join(at("diverged"), "config.json"))).toBe(false);
});
