/** Rows from judged answers, and trials that ask for them. */
import { describe, expect, test } from "vitest";
import { loadDataset } from "../../../src/datasets/read.ts";
import type { RewardedPrompt } from "../../../src/datasets/rewarded.ts";
import {
  formatFor,
  rowsOf,
  shuffledRewards,
  writeRows,
} from "../../../src/jobs/trainers/candidates.ts";
import {
  checkedTrial,
  defaultTrials,
  kindOf,
  rowsNames,
  trainerTrials,
  trialsNamed,
} from "../../../src/jobs/trainers/trials.ts";
import { methods, onlineMethods } from "../../../src/jobs/training/methods.ts";
import { temporaryFolder } from "../../support/workspace.ts";

const folder = temporaryFolder();

const K = 5;
/** The answer `i` is worth i. */
const candidates: RewardedPrompt[] = Array.from({ length: 40 }, (_, at) => ({
  prompt: { messages: [{ role: "user", content: `Question ${at}` }] },
  key: String(at).padStart(8, "0"),
  place: { file: "made", line: at + 1 },
  answers: Array.from({ length: K }, (__, i) => ({ completion: `answer ${i}`, reward: i })),
}));
const rewardsOf = (prompts: readonly RewardedPrompt[]) =>
  prompts.map(({ answers }) => answers.map(({ reward }) => reward));

describe("shuffled rewards", () => {
  const shuffled = shuffledRewards(candidates, 7);

  test("are each prompt's own, beside the same answers", () => {
    const sorted = rewardsOf(shuffled).map((rewards) => rewards.toSorted((a, b) => a - b));
    expect(sorted).toEqual(rewardsOf(candidates));
    expect(shuffled.map(({ answers }) => answers.map(({ completion }) => completion))).toEqual(
      candidates.map(({ answers }) => answers.map(({ completion }) => completion)),
    );
  });

  test("leave the best answer best as often as chance does, and are the same for the same seed", () => {
    const kept = rewardsOf(shuffled).filter((rewards) => rewards[K - 1] === K - 1).length;
    expect(kept).toBeGreaterThan(0); // 8 of 40 on average; P(0) = 1e-4, P(over 18) = 1e-4
    expect(kept).toBeLessThanOrEqual(18);
    expect(shuffledRewards(candidates, 7)).toEqual(shuffled);
    expect(shuffledRewards(candidates, 8)).not.toEqual(shuffled);
  });
});

test.each(rowsNames)("rows of '%s' are written as what they are read as", async (name) => {
  const rows = rowsOf(candidates, name, 0);
  expect(rows.length).toBeGreaterThanOrEqual(candidates.length);
  const path = await writeRows(folder, name, { rows, format: formatFor(name) });
  const { rows: read, format } = await loadDataset(path);
  expect(format.name).toBe(formatFor(name));
  expect(read).toHaveLength(rows.length);
  expect(new Set(read.map(({ kind }) => kind))).toEqual(new Set([kindOf(name)]));
});

describe("the trials", () => {
  const own = { domain: "arithmetic", prompts: 8 } as const;

  test("train each method that makes a policy of rows or of its own answers, on what it learns from", () => {
    const needsMore = ["distillation", "conditional-sft"]; // a teacher, words in the prompt
    const policies = [...methods.filter(({ isReward }) => !isReward), ...onlineMethods]
      .map(({ loss }) => loss.name)
      .filter((name) => !needsMore.includes(name));
    const names = trainerTrials.map(({ name }) => name);
    expect(new Set(trainerTrials.map(({ method }) => method))).toEqual(new Set(policies));
    expect(new Set(names).size).toBe(names.length);
    for (const trial of trainerTrials) expect(checkedTrial(trial).trial).toBe(trial);
  });

  test("have controls with the same training, but for the rewards", () => {
    const controls = defaultTrials.filter(({ isShuffled }) => isShuffled);
    expect(controls.map(({ name }) => name)).toEqual(["raft-shuffled", "dpo-shuffled"]);
    for (const control of controls) {
      const twin = defaultTrials.find(({ name }) => name === control.method);
      expect({ ...control, isShuffled: false, name: control.method }).toEqual(twin);
    }
  });

  test("that nobody knows are refused by name, with the one that was meant", () => {
    expect(() => trialsNamed(["dpo", "dill-ukl"])).toThrow(/'dill-ukl'.*did you mean 'dil-ukl'/);
    expect(() => trialsNamed(["quux"])).toThrow(/there is .*raft/);
  });

  test.each([
    [{ method: "bradley-terry" }, "'bradley-terry' makes no policy of rows; these do: sft"],
    [{ method: "grpo-of-mine" }, "'grpo-of-mine' makes no policy"],
    [{ rows: "winners" as const }, "dpo learns from rows of: pair; 'winners' are supervised"],
    [{ rows: own }, "'dpo' makes no policy of answers of its own; these do: online-dpo, reinforce"],
    [{ method: "grpo" }, "'grpo' makes no policy of rows"],
    [{ method: "grpo", rows: own, isShuffled: true }, "no rewards yet that could be shuffled"],
    [{ method: "distillation", rows: "winners" as const }, "'distillation' makes no policy"],
    [{ options: { betta: 1 } }, "did you mean 'beta'"],
    [{ options: { beta: -1 } }, "beta"],
  ])("with %o are refused", (changes, problem) => {
    const [dpo] = trialsNamed(["dpo"]);
    expect(() => checkedTrial({ ...dpo!, ...changes })).toThrow(problem);
  });
});
