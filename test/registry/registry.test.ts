import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { createRegistry, type RegistryParts } from "../../src/registry/registry.ts";
import type { Preset } from "../../src/registry/types.ts";
import { cannedReward } from "../support/canned-reward.ts";
import { tabularPolicy } from "../support/tabular-policy.ts";

const policy = tabularPolicy();
const reward = cannedReward(() => 0, "judge");
const preset: Preset = {
  id: "table/best-of-4",
  model: "table",
  strategy: "best-of-n",
  options: { n: 4 },
  reward: null,
};
const parts: RegistryParts = {
  policies: [policy],
  rewards: [reward],
  presets: [preset],
  defaultReward: "judge",
  created: 1_800_000_000,
  clock: systemClock,
};

describe("the registry", () => {
  test("lists policies, presets and rewards with their revisions", () => {
    const { revision, created, contextTokens } = policy;
    expect(createRegistry(parts).models()).toEqual([
      { id: "table", created, kind: "policy", revision, contextTokens },
      { id: "table/best-of-4", created, kind: "preset", revision, contextTokens },
      {
        id: "judge",
        created: 1_800_000_000,
        kind: "reward",
        revision: "judge-1",
        contextTokens: null,
      },
    ]);
  });

  test("policies come and go", () => {
    const registry = createRegistry(parts);
    const other = { ...policy, id: "table:tuned" };
    registry.add(other);
    expect(registry.models().map(({ id }) => id)).toEqual([
      "table",
      "table:tuned",
      "table/best-of-4",
      "judge",
    ]);
    expect(registry.model("table:tuned").policy).toBe(other);
    expect(() => registry.add(other)).toThrow(/'table:tuned' is given twice/);
    registry.remove("table:tuned");
    expect(() => registry.model("table:tuned")).toThrow(/does not exist/);
  });

  test("finds a policy by its own id and by a preset's", () => {
    const registry = createRegistry(parts);
    expect(registry.model("table")).toEqual({ policy, preset: null });
    expect(registry.model("table/best-of-4")).toEqual({ policy, preset });
    expect(registry.reward("judge")).toBe(reward);
    expect(registry.defaultReward).toBe(reward);
  });

  test("refuses what it does not know with the names it does", () => {
    const registry = createRegistry(parts);
    expect(() => registry.model("gpt-4")).toThrow(
      "The model 'gpt-4' does not exist. Known models: table, table/best-of-4.",
    );
    expect(() => registry.model("judge")).toThrow(/does not exist/); // a reward writes no answers
    expect(() => registry.reward("table")).toThrow("Unknown reward 'table'. Known rewards: judge.");
  });

  test.each<[string, Partial<RegistryParts>, RegExp]>([
    [
      "an id is used twice",
      { rewards: [cannedReward(() => 0, "table")] },
      /'table' is given twice/,
    ],
    [
      "a preset names no policy",
      { presets: [{ ...preset, model: "gone" }] },
      /preset 'table\/best-of-4'.*model 'gone' does not exist\. Known models: table/,
    ],
    [
      "a preset names no reward",
      { presets: [{ ...preset, reward: "gone" }] },
      /reward 'gone' does not exist\. Known rewards: judge/,
    ],
    ["the default is no reward", { defaultReward: "gone" }, /the default reward.*'gone'/],
  ])("is not made when %s", (_, wrong, message) => {
    expect(() => createRegistry({ ...parts, ...wrong })).toThrow(message);
  });
});
