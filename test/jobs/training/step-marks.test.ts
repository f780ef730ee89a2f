/** Judged steps: where they are learned is where a served process reward model reads them. */
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/base/clock.ts";
import { Checkpoint } from "../../../src/checkpoints/checkpoint.ts";
import type { StepsRow } from "../../../src/datasets/types.ts";
import { Turnstile } from "../../../src/engine/turnstile.ts";
import type { RowFormat } from "../../../src/jobs/training/encode-rows.ts";
import { methods } from "../../../src/jobs/training/methods.ts";
import { markedSteps, type Neutral } from "../../../src/jobs/training/step-marks.ts";
import { nobody } from "../../../src/jobs/training/teacher.ts";
import { train } from "../../../src/jobs/training/train.ts";
import { loadReward } from "../../../src/registry/load-reward.ts";
import { isProcessReward } from "../../../src/rewards/define.ts";
import type { StepSettings } from "../../../src/rewards/step-conventions.ts";
import { ChatTemplate } from "../../../src/text/chat-template.ts";
import { Tokenizer } from "../../../src/text/tokenizer.ts";
import { jsonLines, tinyCheckpoint } from "../../support/tiny-checkpoint.ts";
import { usualReading, usualTraining } from "../../support/training-options.ts";
import { temporaryFolder, testRuntime } from "../../support/workspace.ts";

const embedded = join(import.meta.dirname, "../../../models/tiny-chat");
const folder = temporaryFolder();
const runtime = testRuntime();
let format: RowFormat;
beforeAll(async () => {
  const tokenizer = await Tokenizer.load(embedded);
  format = { tokenizer, template: await ChatTemplate.load(embedded), endIds: tokenizer.endIds };
});

const row = (labels: readonly number[], changes: Partial<StepsRow> = {}): StepsRow => ({
  kind: "steps",
  prompt: { messages: [{ role: "user", content: "2 + 3 × 4?" }] },
  steps: ["3 × 4 = 12", "2 + 12 = 15", "It is 15."].slice(0, labels.length),
  labels,
  scale: "right",
  place: { file: "a", line: 1 },
  ...changes,
});

/** What is read up to each mark, and its target. */
function marks(
  given: StepsRow,
  { loss = "reward-classification", neutral = "good" as Neutral, convention = "trl" as const } = {},
): [string, number][] {
  const material = markedSteps(loss, { settings: { convention }, neutral });
  const [example] = material.read(given, format);
  const { packed, int64, float32 } = material.step([example!], 96, () => [], nobody);
  const ids = Array.from(packed.ids, Number);
  return Array.from(int64["rows"]!, (at, i) => [
    format.tokenizer.decode(ids.slice(0, Number(at) + 1)),
    float32["targets"]![i]!,
  ]);
}

describe("a step", () => {
  test("is learned behind its separator, after all steps before it; what nobody judged is read only", () => {
    const found = marks(row([1, Number.NaN, 0]));
    expect(found).toEqual([
      ["2 + 3 × 4?3 × 4 = 12\n", 1],
      ["2 + 3 × 4?3 × 4 = 12\n2 + 12 = 15\nIt is 15.\n", 0],
    ]);
  });

  test("that is neutral is what the option says, for losses that know right and wrong", () => {
    const rated = row([1, 0, -1], { scale: "rating" });
    const targets = (neutral: Neutral, loss?: string) =>
      marks(rated, { neutral, ...(loss && { loss }) }).map(([, target]) => target);
    expect(targets("good")).toEqual([1, 1, 0]);
    expect(targets("bad")).toEqual([1, 0, 0]);
    expect(targets("half")).toEqual([1, 0.5, 0]);
    expect(targets("drop")).toEqual([1, 0]);
    expect(targets("half", "reward-hinge")).toEqual([1, 0, -1]);
    expect(targets("drop", "reward-regression")).toEqual([1, 0, -1]);
    const far = row([7.5], { scale: "rating" });
    expect(marks(far, { loss: "reward-regression" })[0]![1]).toBe(7.5);
    expect(() => marks(far)).toThrow(/rated 7.5.*reward-regression/);
  });

  test("that serving would cut in two, or none with a label, is refused", () => {
    const broken = row([1], { steps: ["first\nsecond"] });
    expect(() => marks(broken)).toThrow(/step 1 contains "\\n", where serving ends a step/);
    expect(() => marks(row([0], { scale: "rating" }), { neutral: "drop" })).toThrow(/no.* label/);
  });
});

test("what is trained on steps serves as a process reward that tells right steps from wrong ones", async () => {
  const base = await tinyCheckpoint(join(folder, "base"));
  const rows = Array.from({ length: 24 }, (_, i) => ({
    prompt: `What comes after ${i}?`,
    completions: [`We add one to ${i}.`, i % 2 ? "So it is red." : "So it is a number."],
    labels: [true, i % 2 === 0],
  }));
  const settings: StepSettings = { convention: "trl" };
  const out = join(folder, "steps");
  await train(
    runtime,
    {
      method: methods.find(({ loss }) => loss.name === "reward-classification")!,
      lossOptions: {},
      stepReading: { settings, neutral: "good" },
      data: {
        ...usualReading,
        files: [jsonLines(join(folder, "steps.jsonl"), rows)],
      },
      ...usualTraining,
      steps: 30,
      learningRate: 0.02,
      evaluateEvery: null,
      base,
      out,
    },
    { onStart: () => {}, onReferences: () => {}, onStep: () => {} },
  );
  expect((await Checkpoint.open(out)).config).toMatchObject({ task: "token-scores", labels: 1 });
  const turnstile = new Turnstile(systemClock);
  const options = {
    runtime,
    folder: out,
    provider: "cpu",
    threads: 1,
    turnstile,
    steps: settings,
  } as const;
  const { reward, engine } = await loadReward(options);
  if (!isProcessReward(reward)) throw new Error("it is no process reward");
  const messages = [{ role: "user", content: "What comes after 40?" }];
  const session = reward.open({ messages }, new AbortController().signal);
  const { steps: right } = await session.scoreSteps("We add one to 40.\nSo it is a number.");
  const { steps: wrong } = await session.scoreSteps("We add one to 40.\nSo it is red.");
  expect(right.map(({ score }) => score > 0.5)).toEqual([true, true]);
  expect(wrong.map(({ score }) => score > 0.5)).toEqual([true, false]);
  session.close();
  await engine.dispose();
}, 60_000);
