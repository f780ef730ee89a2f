/** A training with LoRA, from rows to an adapter that is what was trained. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type LoraSettings, loraModules, readAdapter } from "../../../src/checkpoints/adapter.ts";
import { Checkpoint } from "../../../src/checkpoints/checkpoint.ts";
import { mergeAdapter } from "../../../src/checkpoints/merge.ts";
import { estimateBytes } from "../../../src/jobs/training/memory.ts";
import { methods } from "../../../src/jobs/training/methods.ts";
import type { TrainingOptions } from "../../../src/jobs/training/options.ts";
import { train } from "../../../src/jobs/training/train.ts";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import {
  jsonLines,
  pairRows,
  supervisedRows,
  tinyCheckpoint,
} from "../../support/tiny-checkpoint.ts";
import { usualReading, usualTraining } from "../../support/training-options.ts";
import { temporaryFolder } from "../../support/workspace.ts";

const folder = temporaryFolder();
const at = (name: string) => join(folder, name);
const lora: LoraSettings = {
  rank: 4,
  alpha: 8,
  isRankStabilized: false,
  modules: loraModules,
};
const quiet = { onStart() {}, onReferences() {}, onStep() {} };

let runtime: Runtime;
let common: Omit<TrainingOptions, "method" | "data" | "out">;
beforeAll(async () => {
  runtime = openRuntime();
  common = {
    ...usualTraining,
    base: await tinyCheckpoint(at("base")),
    lossOptions: {},
    lora,
    steps: 12,
    learningRate: 0.02,
    seed: 1,
    evaluateEvery: 12,
    dtype: "base",
    checkpointEvery: 100,
  };
});
afterAll(() => runtime.dispose());

const methodNamed = (name: string) => methods.find(({ loss }) => loss.name === name)!;

function run(method: string, out: string, data: string, more: Partial<TrainingOptions> = {}) {
  const options: TrainingOptions = {
    ...common,
    method: methodNamed(method),
    out: at(out),
    data: { ...usualReading, files: [data], heldOutFiles: [data] },
    ...more,
  };
  return train(runtime, options, quiet);
}

describe("an adapter", () => {
  test("of a policy, merged, has the loss that training ended with", async () => {
    const data = jsonLines(at("rows.jsonl"), supervisedRows(24));
    const trained = await run("sft", "adapter", data);
    const barely = { steps: 1, evaluateEvery: 1, learningRate: 1e-12 };
    const untrained = await run("sft", "untrained", data, { ...barely, lora: null });
    expect(trained.heldOutLoss).toBeLessThan(untrained.heldOutLoss! - 0.1);
    const { config } = await Checkpoint.open(common.base);
    expect((await readAdapter(at("adapter"), config)).matrices.size).toBe(7 * config.layers);
    expect(existsSync(join(at("adapter"), "model.safetensors"))).toBe(false);
    expect(readFileSync(join(at("adapter"), "README.md"), "utf8")).toContain("library_name: peft");
    await mergeAdapter(common.base, at("adapter"), at("merged"));
    const base = at("merged");
    const merged = await run("sft", "of-merged", data, { ...barely, lora: null, base });
    expect(merged.heldOutLoss).toBeCloseTo(trained.heldOutLoss!, 5);
  });

  test("begins with log-ratios of exactly 0: DPO's first loss is ln 2", async () => {
    const data = jsonLines(at("pairs.jsonl"), pairRows(8));
    await run("dpo", "dpo", data, { steps: 1 });
    const [line] = readFileSync(join(at("dpo"), "metrics.jsonl"), "utf8").split("\n");
    expect(JSON.parse(line!)["loss"]).toBeCloseTo(Math.LN2, 6);
    expect(JSON.parse(line!)["margin"]).toBe(0);
  });

  test("of a reward model holds its head, and merged is a model of scores", async () => {
    const data = jsonLines(at("compared.jsonl"), pairRows(16));
    const { trainLoss } = await run("bradley-terry", "reward", data, { lossOptions: {} });
    expect(trainLoss).toBeLessThan(Math.LN2);
    await mergeAdapter(common.base, at("reward"), at("reward-merged"));
    const { config } = await Checkpoint.open(at("reward-merged"));
    expect(config).toMatchObject({ task: "sequence-scores", labels: 1 });
    const { head } = await readAdapter(at("reward"), config);
    expect(head!.get("score.weight")!.some((value) => value !== 0)).toBe(true);
  });
});

test("needs less memory than training all weights, by the moments and gradients it does not have", async () => {
  const { config } = await Checkpoint.open("models/tiny-chat");
  const pass = { rowTokens: 256, tokens: 2048, scored: 1024 };
  const matrices = 6 * (2 * (256 + 256) + 2 * (256 + 128) + 3 * (256 + 704)); // inputs and outputs
  const all = 4_820_224; // its parameters
  const [full, adapted] = [estimateBytes(config, pass), estimateBytes(config, pass, lora)];
  expect(full - adapted).toBe(4 * (3 * all - 4 * lora.rank * matrices));
});
