import { describe, expect, test } from "vitest";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { boundOf, mcts } from "../../src/strategies/mcts.ts";
import { cannedProcessReward } from "../support/canned-reward.ts";
import { end } from "../support/tabular-policy.ts";
import { worth } from "./laws.ts";
import { best, finish } from "./support.ts";

const whole = () => cannedProcessReward(worth);
const byC = () => cannedProcessReward(worth, "by-c", { separator: "c" });
const seeds = Array.from({ length: 12 }, (_, seed) => seed);

describe("a child's bound", () => {
  const child = { visits: 4, total: 2, prior: 0.25, parent: { visits: 100 } };

  test("by uct is Q + c·√(ln N/n)", () => {
    // 0.5 + 2·√(ln 100 / 4) = 0.5 + 2·√1.151292546 = 2.645966
    expect(boundOf(child, { bound: "uct", exploration: 2 })).toBeCloseTo(2.645966, 6);
  });

  test("by puct is Q + c·P·√N/(1 + n)", () => {
    // 0.5 + 2·0.25·10/5
    expect(boundOf(child, { bound: "puct", exploration: 2 })).toBeCloseTo(1.5, 12);
  });

  test("without exploration is what the child gave on average", () => {
    expect(boundOf(child, { bound: "uct", exploration: 0 })).toBe(0.5);
  });
});

describe("mcts", () => {
  test("is best-of-width, token for token, when a step holds the whole answer", async () => {
    for (const seed of seeds) {
      const run = { reward: whole(), sampling: { seed } };
      const tree = await finish(mcts, { ...run, options: { width: 5 } });
      const several = await finish(bestOfN, { ...run, options: { n: 5 } });
      expect(tree.result.candidates).toEqual(several.result.candidates);
      expect(tree.result.chosen).toEqual(several.result.chosen);
    }
  });

  test.each([{}, { bound: "puct" }, { value: "rollout" }])(
    "returns the best of the answers that ended, with %j",
    async (options) => {
      for (const seed of seeds) {
        const run = { reward: byC(), sampling: { seed }, options: { width: 2, ...options } };
        const finished = await finish(mcts, run);
        const ended = finished.result.candidates.filter(({ cut }) => cut === null);
        const highest = Math.max(...ended.map(({ reward }) => reward ?? Number.NEGATIVE_INFINITY));
        expect(best(finished).reward).toBe(highest);
      }
    },
  );

  test("spends its simulations where steps are worth more", async () => {
    const reward = cannedProcessReward((text) => (text.startsWith("b") ? 0.9 : 0.1));
    const logitBias = new Map([[end, -100]]); // so that nothing ends before its eighth token
    let seen = 0;
    for (const seed of seeds) {
      const options = { width: 4, step_tokens: 1, simulations: 12, exploration: 0.1 };
      const run = { reward, options, sampling: { seed, logitBias } };
      const { candidates } = (await finish(mcts, run)).result;
      const onB = candidates.filter(({ text }) => text.startsWith("b")).length;
      if (onB === 0) continue; // none of the first four
      seen++;
      expect(onB).toBeGreaterThan(0.85 * candidates.length);
    }
    expect(seen).toBeGreaterThan(3);
  });

  test("draws the most visited path to its end where no answer has ended", async () => {
    const options = { width: 2, step_tokens: 1, simulations: 1 };
    for (const seed of seeds) {
      const finished = await finish(mcts, { reward: whole(), options, sampling: { seed } });
      expect(best(finished).cut).toBeNull();
      expect(finished.result.stopped).toBe("complete");
    }
  });

  test("does not search on where everything has ended", async () => {
    const options = { width: 3, simulations: 1000 };
    const run = { reward: whole(), options, sampling: { maxTokens: 2 } };
    expect((await finish(mcts, run)).result.candidates).toHaveLength(3);
  });

  test("ends inside its budget with the best so far, and says so", async () => {
    const options = { width: 3, step_tokens: 1 };
    const run = { reward: whole(), options, budget: { rewardCalls: 4 } };
    const finished = await finish(mcts, run);
    expect(finished.result.stopped).toBe("reward_calls");
    expect(finished.budget.rewardCalls).toBe(4);
  });
});
