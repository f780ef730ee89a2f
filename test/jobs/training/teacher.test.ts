/** A teacher's law of each token: what is kept of it, and what a training makes of it. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { compileOptions } from "../../../src/base/options.ts";
import { openBase } from "../../../src/jobs/training/base.ts";
import { materialOf } from "../../../src/jobs/training/material.ts";
import { methods } from "../../../src/jobs/training/methods.ts";
import type { TrainingOptions } from "../../../src/jobs/training/options.ts";
import { cutIntoPasses } from "../../../src/jobs/training/schedule-examples.ts";
import {
  computeLaws,
  likeliest,
  loadLaws,
  saveLaws,
  teacherOf,
} from "../../../src/jobs/training/teacher.ts";
import { train } from "../../../src/jobs/training/train.ts";
import type { StepReport } from "../../../src/train/loop.ts";
import { jsonLines, supervisedRows, tinyCheckpoint } from "../../support/tiny-checkpoint.ts";
import { usualReading, usualTraining } from "../../support/training-options.ts";
import { temporaryFolder, testRuntime } from "../../support/workspace.ts";

const folder = temporaryFolder();
const runtime = testRuntime();
const at = (name: string) => join(folder, name);
const method = methods.find(({ loss }) => loss.name === "distillation")!;

let base: string;
let teacher: string;
const data = at("rows.jsonl");
beforeAll(async () => {
  base = await tinyCheckpoint(at("base"));
  jsonLines(data, supervisedRows(24));
  const sft = methods.find(({ loss }) => loss.name === "sft")!;
  await trained({
    method: sft,
    teacher: undefined,
    lossOptions: {},
    steps: 30,
    out: at("teacher"),
  });
  teacher = at("teacher");
}, 60_000);

async function trained(changes: Partial<TrainingOptions> & { out: string }) {
  const steps: StepReport[] = [];
  const options: TrainingOptions = {
    method,
    lossOptions: compileOptions(method.loss, "distillation")({ teacher_weight: 1 }),
    teacher: { folder: teacher, tokens: 8 },
    data: {
      ...usualReading,
      files: [data],
      heldOut: 0.2,
    },
    ...usualTraining,
    steps: 12,
    passTokens: 256,
    learningRate: 0.02,
    evaluateEvery: 4,
    base,
    ...changes,
  };
  const asked: number[] = [];
  const listener = {
    onStart: () => {},
    onReferences: (done: number) => void asked.push(done),
    onStep: (report: StepReport) => void steps.push(report),
  };
  return { summary: await train(runtime, options, listener), steps, asked };
}

test("the likeliest tokens come in order, of equal ones the first", () => {
  const found = { ids: new Int32Array(4), logps: new Float32Array(4) };
  likeliest(Float32Array.of(-3, -1, -7, -1, -0.5, -9, -2), found);
  expect([...found.ids]).toEqual([4, 1, 3, 6]);
  expect([...found.logps]).toEqual([-0.5, -1, -1, -2]);
});

describe("a teacher", () => {
  test("is asked about each learned token, and its laws come back from the file as they were", async () => {
    const opened = await openBase(teacher, method);
    const material = materialOf(method.loss);
    const rows = supervisedRows(3).map(({ prompt, completion }, i) => ({
      kind: "supervised" as const,
      prompt: { text: prompt },
      completion,
      place: { file: "a", line: i + 1 },
    }));
    const examples = rows.flatMap((row) => [...material.read(row, opened.format)]);
    const { vocabSize } = opened.config;
    const options = { base: opened, material, onProgress: () => {}, threads: 1 };
    const passes = cutIntoPasses(examples, 32);
    expect(passes.length).toBeGreaterThan(1);
    const laws = await computeLaws(runtime, passes, examples, { ...options, tokens: 5 });
    const all = await computeLaws(runtime, [examples], examples, { ...options, tokens: vocabSize });
    const [few, whole] = [teacherOf(laws, examples), teacherOf(all, examples)];
    for (const example of examples) {
      expect(few(example)).toHaveLength(example.scoredTokens);
      for (const [i, place] of whole(example).entries()) {
        const sum = place.reduce((total, { logp }) => total + Math.exp(logp), 0);
        expect(sum).toBeCloseTo(1, 4); // a law
        expect(few(example)[i]!.map(({ id }) => id)).toEqual(place.slice(0, 5).map(({ id }) => id));
      }
    }
    await saveLaws(at("laws.safetensors"), laws);
    expect(await loadLaws(at("laws.safetensors"), examples)).toEqual(laws);
    expect(await loadLaws(at("laws.safetensors"), examples.slice(1))).toBeNull();
    expect(await loadLaws(at("nowhere"), examples)).toBeNull();
  });

  test("is followed: the divergence from it falls on rows that were held out", async () => {
    const { summary, steps, asked } = await trained({ out: at("student") });
    expect(asked.at(-1)).toBeGreaterThan(1);
    const held = steps.flatMap(({ heldOut }) => (heldOut ? [heldOut["teacher_kl"]!] : []));
    expect(held.at(-1)).toBeLessThan(held[0]! / 2);
    expect(summary.method).toBe("distillation");
    expect(existsSync(join(at("student"), "training", "teacher.safetensors"))).toBe(false);
    expect(readFileSync(join(at("student"), "README.md"), "utf8")).toMatch(/--teacher \| [0-9a-f]/);
  });

  test("who is the student itself has no divergence at the first step", async () => {
    const { steps } = await trained({
      out: at("self"),
      steps: 1,
      teacher: { folder: base, tokens: 1536 },
    });
    expect(steps[0]!.metrics["teacher_kl"]).toBeCloseTo(0, 5);
  });

  test("with another vocabulary, or a shorter context, is refused with what to do", async () => {
    const other = await tinyCheckpoint(at("other"));
    const path = join(other, "tokenizer.json");
    const tokenizer = JSON.parse(readFileSync(path, "utf8"));
    const [first, second] = Object.keys(tokenizer.model.vocab).slice(300, 302) as [string, string];
    const { vocab } = tokenizer.model;
    [vocab[first], vocab[second]] = [vocab[second], vocab[first]];
    jsonLines(path, [tokenizer]);
    const asked = (named: string) =>
      trained({ out: at("no"), teacher: { folder: named, tokens: 8 } });
    await expect(asked(other)).rejects.toThrow(/has other tokens than the base/);
    const short = await tinyCheckpoint(at("short"), { max_position_embeddings: 32 });
    await expect(asked(short)).rejects.toThrow(/lower --context-tokens to 32/);
    expect(existsSync(at("no"))).toBe(false);
  });
});
