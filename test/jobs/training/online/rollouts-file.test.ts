/** What a killed training finds of its rollouts: whole ones that the saved state knows of, exactly as they were. */
import { appendFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Rollout } from "../../../../src/jobs/training/online/draw.ts";
import { openRollouts } from "../../../../src/jobs/training/online/rollouts-file.ts";
import { temporaryFolder } from "../../../support/workspace.ts";

const folder = temporaryFolder();

const prompt = (key: string) => ({
  ids: [1],
  prompt: { text: key },
  key,
  place: { file: "f", line: 1 },
  answer: null,
  corpus: null,
});
/** Two prompts a rollout. */
const promptsOf = (rollout: number) => [prompt(`${rollout}a`), prompt(`${rollout}b`)];

const rollout = (index: number, sampledAt: number): Rollout => ({
  index,
  sampledAt,
  groups: promptsOf(index).map((each, i) => ({
    prompt: each,
    seed: 7 + i,
    baseline: i === 0 ? null : 0.1 + 0.2,
    answers: [
      {
        text: "it is …",
        tokens: [3, 4],
        logps: [Math.log(1 / 3), -1e-9],
        values: [Math.fround(0.1), 2],
        reward: 1 / 7,
        isFinished: true,
      },
      { text: "", tokens: [5], logps: [-3], values: [0], reward: null, isFinished: false },
    ],
  })),
});

async function written(name: string): Promise<string> {
  const path = join(folder, name);
  const file = await openRollouts(path, promptsOf, 0);
  expect(file.found).toEqual([]);
  for (const each of [rollout(0, 0), rollout(1, 3)]) await file.append(each);
  await file.close();
  return path;
}

async function found(path: string, sampledAtMax: number) {
  const file = await openRollouts(path, promptsOf, sampledAtMax);
  await file.close();
  return file.found;
}

test("rollouts come back number by number, and are there but once", async () => {
  const path = await written("whole.jsonl");
  const before = readFileSync(path);
  expect(await found(path, 5)).toEqual([rollout(0, 0), rollout(1, 3)]);
  expect(readFileSync(path)).toEqual(before);
});

test("what was drawn after the saved state is cut away", async () => {
  const path = await written("after.jsonl");
  expect(await found(path, 2)).toEqual([rollout(0, 0)]);
  expect(readFileSync(path, "utf8").trim().split("\n")).toHaveLength(2);
});

test("so is a rollout that was not written whole: a line of it, or a part of a line", async () => {
  const lines = await written("lines.jsonl");
  const text = readFileSync(lines, "utf8");
  writeFileSync(lines, `${text.split("\n").slice(0, 3).join("\n")}\n`);
  expect(await found(lines, 5)).toEqual([rollout(0, 0)]);
  const torn = await written("torn.jsonl");
  truncateSync(torn, readFileSync(torn).length - 20);
  expect(await found(torn, 5)).toEqual([rollout(0, 0)]);
  expect(readFileSync(torn, "utf8").endsWith("\n")).toBe(true);
});

test("a file of something else is refused by its line", async () => {
  const path = await written("foreign.jsonl");
  appendFileSync(path, `${JSON.stringify({ prompt: "a", completion: "b" })}\n`);
  await expect(found(path, 5)).rejects.toThrow("line 5");
  const other = (index: number) => promptsOf(index).toReversed();
  await expect(openRollouts(path, other, 5)).rejects.toThrow("line 1: it is of another prompt");
});
