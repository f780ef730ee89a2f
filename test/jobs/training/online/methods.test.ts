/** Every method that draws its own answers, from prompts to a folder that serves. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../../src/base/clock.ts";
import { compileOptions } from "../../../../src/base/options.ts";
import { Checkpoint } from "../../../../src/checkpoints/checkpoint.ts";
import { loadDataset } from "../../../../src/datasets/read.ts";
import { Turnstile } from "../../../../src/engine/turnstile.ts";
import { onlineMethods } from "../../../../src/jobs/training/methods.ts";
import { loadPolicy } from "../../../../src/registry/load.ts";
import { cannedReward } from "../../../support/canned-reward.ts";
import { tinyCheckpoint } from "../../../support/tiny-checkpoint.ts";
import {
  judgedBy,
  onlineOptions,
  promptFile,
  rolloutLines,
  runOnline,
} from "../../../support/tiny-online.ts";
import { temporaryFolder, testRuntime } from "../../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const at = (name: string) => join(folder, name);

let base: string;
let prompts: string;
beforeAll(async () => {
  base = await tinyCheckpoint(at("base"), {}, 10);
  prompts = promptFile(folder, 8);
});

/** Of the letters those that are an e; what a random policy can learn quickly. */
const share = (text: string) => text.split("e").length / (text.length + 1);
const run = (name: string, changes: Parameters<typeof onlineOptions>[2] = {}, out = name) =>
  runOnline(
    runtime,
    judgedBy(cannedReward(share)),
    onlineOptions(name, { base, out: at(out), prompts }, changes),
  );

const weightsOf = async (path: string) => {
  const checkpoint = await Checkpoint.open(path);
  return checkpoint.weight("model.embed_tokens.weight").data;
};

describe("a method", () => {
  test.each(onlineMethods.map(({ loss }) => loss.name))(
    "%s trains, and writes a model without the head of its critic, its answers and their report",
    async (name) => {
      const { steps, summary } = await run(name);
      expect(steps.map(({ step }) => step)).toEqual([1, 2]);
      for (const { metrics } of steps) {
        for (const [metric, value] of Object.entries(metrics))
          expect(Number.isFinite(value), metric).toBe(true);
      }
      expect(summary).toMatchObject({ method: name, steps: 2, keptStep: 2 });
      const trained = await Checkpoint.open(at(name));
      expect(trained.names.filter((each) => each.startsWith("score."))).toEqual([]);
      expect(await weightsOf(at(name))).not.toEqual(await weightsOf(base));
      const lines = rolloutLines(at(name));
      expect(lines).toHaveLength(8); // two rollouts of 4 prompts
      expect(readFileSync(join(at(name), "README.md"), "utf8")).toContain(
        `plumbline train ${name}`,
      );
      expect(existsSync(join(at(name), "report.html"))).toBe(true);
    },
  );

  test("keeps its answers as rows that others can learn from", async () => {
    await run("rloo", {}, "rows");
    const { rows } = await loadDataset(join(at("rows"), "rollouts.jsonl"));
    expect(rows.map(({ kind }) => kind)).toEqual(Array(8).fill("list"));
    const lines = rolloutLines(at("rows"));
    for (const { completions, rewards } of lines) expect(rewards).toEqual(completions.map(share));
  });

  test("remax compares with the greedy answer to each prompt", async () => {
    await run("remax", { k: 1 }, "greedy");
    const policy = await loadPolicy({
      runtime,
      folder: base,
      provider: "cpu",
      threads: 1,
      turnstile: new Turnstile(systemClock),
      sequencesMax: 4,
      queueSequencesMax: 4,
    });
    const [first] = rolloutLines(at("greedy"));
    const ids = policy.policy.encode({ kind: "text", text: first!.prompt });
    const sampling = { ...policy.policy.defaults, temperature: 0, maxTokens: 8, seed: 1 };
    const { signal } = new AbortController();
    const [greedy] = await policy.policy.generate(ids, 1, sampling, { signal });
    expect(first!.metadata.baseline).toBe(share(greedy!.text));
    await policy.engine.dispose();
  });

  test("nash-md compares with an answer of the mixture, with LoRA too, where the reference is the base", async () => {
    const lora = {
      rank: 2,
      alpha: 4,
      isRankStabilized: false,
      modules: ["q_proj", "v_proj"],
    } as const;
    const { steps } = await run("nash-md", { lora, mixture: 0.5 }, "nash-lora");
    const baselines = rolloutLines(at("nash-lora")).map(({ metadata }) => metadata.baseline);
    expect(baselines.every((baseline) => baseline !== null && baseline > 0)).toBe(true);
    expect(Math.abs(steps[0]!.metrics["kl"]!)).toBeLessThan(1e-7); // the adapter begins as nothing
    expect(steps[1]!.metrics["kl"]).toBeGreaterThan(1e-7);
    expect(existsSync(join(at("nash-lora"), "adapter_config.json"))).toBe(true);
  });

  test("raises what it is rewarded for, all weights and adapters alike, always drawing by the weights of now", async () => {
    const sharp = await tinyCheckpoint(at("sharp"), {}, 40);
    const lora = {
      rank: 4,
      alpha: 32,
      isRankStabilized: false,
      modules: ["o_proj", "down_proj"],
    } as const;
    for (const [out, changes] of [
      ["raised", { learningRate: 0.02 }],
      ["adapted", { learningRate: 0.1, lora }],
    ] as const) {
      const longer = { steps: 20, k: 8, batch: 8, base: sharp, ...changes };
      const { steps } = await run("rloo", longer, out);
      const rewards = steps.map(({ metrics }) => metrics["reward"]!);
      expect(rewards.at(-1), out).toBeGreaterThan(1.4 * rewards[0]!);
      for (const { metrics } of steps)
        expect(Math.abs(metrics["sampling_kl"]!), out).toBeLessThan(1e-6);
    }
  });
});

describe("several updates from one rollout", () => {
  test("take its prompts in parts, each once, and correct losses without a ratio", async () => {
    const several = { minibatch: 2, steps: 4, learningRate: 0.05 };
    const { steps } = await run("rloo", several, "several");
    expect(rolloutLines(at("several"))).toHaveLength(8);
    // what the first update of a rollout reports of it is said once
    expect(steps.map(({ metrics }) => "reward" in metrics)).toEqual([true, false, true, false]);
    expect(Math.abs(steps[0]!.metrics["sampling_kl"]!)).toBeLessThan(1e-7);
    expect(steps[1]!.metrics["sampling_kl"]).toBeGreaterThan(1e-6);
  });

  test("leave out answers that the policy of now finds far likelier than the one that drew them", async () => {
    const masked = { level: "answer", beyond: "mask", ratioMax: 1e-9 } as const;
    const several = { updatesPerRollout: 2, importance: masked };
    const { steps } = await run("rloo", several, "masked");
    expect(steps[1]!.metrics).toMatchObject({ loss: 0, gradient_norm: 0 });
  });
});

describe("prompts whose answers are worth the same", () => {
  const flat = judgedBy(cannedReward(() => 1));
  const options = (name: string, out: string) =>
    onlineOptions(name, { base, out: at(out), prompts }, { steps: 1 });

  test("are counted, and left out by dapo and online-dpo: the step changes nothing", async () => {
    for (const name of ["dapo", "online-dpo"]) {
      const { steps } = await runOnline(runtime, flat, options(name, `flat-${name}`));
      expect(steps[0]!.metrics).toMatchObject({ loss: 0, gradient_norm: 0, no_spread: 1 });
      expect(await weightsOf(at(`flat-${name}`))).toEqual(await weightsOf(base));
    }
  });

  test("teach grpo nothing either, which keeps them in its means", async () => {
    const { steps } = await runOnline(runtime, flat, options("grpo", "flat-grpo"));
    expect(steps[0]!.metrics["gradient_norm"]).toBe(0);
  });
});

test("held-out prompts are answered with the same seeds, and patience keeps the best of the weights", async () => {
  const changes = { heldOut: 0.5, evaluate: 8, evaluateEvery: 2, patience: 1, steps: 8 };
  const worse = cannedReward((text) => share(text));
  let asked = 0;
  const falling = {
    ...worse,
    open: (...args: Parameters<typeof worse.open>) => {
      const session = worse.open(...args);
      asked += 1;
      return { ...session, score: async (text: string) => (await session.score(text)) - asked };
    },
  };
  const options = onlineOptions("rloo", { base, out: at("patient"), prompts }, changes);
  const { summary, steps } = await runOnline(runtime, judgedBy(falling), options);
  expect(summary).toMatchObject({ stoppedEarly: true, keptStep: 2, steps: 4 });
  expect(steps.at(-1)!.step).toBe(4);
  expect(summary.heldOut!.after["reward"]).toBeLessThan(summary.heldOut!.before["reward"]!);
});

test("another pair loss may learn from the drawn pairs", async () => {
  const { method } = onlineOptions("online-dpo", { base, out: at("ipo"), prompts });
  const ipo = (await import("../../../../src/train/losses/pair/ipo.ts")).ipo;
  const changes = { method: { ...method, loss: ipo }, lossOptions: compileOptions(ipo, "ipo")({}) };
  const { steps } = await run("online-dpo", changes, "ipo");
  expect(steps[0]!.metrics["loss"]).toBeCloseTo((1 / (2 * 0.1)) ** 2, 4); // (0 − 1/(2β))²
});
