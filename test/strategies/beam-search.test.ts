/** Beam search and the trees that are made of it. */
import { describe, expect, test } from "vitest";
import { beamSearch } from "../../src/strategies/beam-search.ts";
import { bestOfN } from "../../src/strategies/best-of-n.ts";
import { dvts } from "../../src/strategies/dvts.ts";
import { cannedProcessReward, cannedReward } from "../support/canned-reward.ts";
import {
  add,
  chiSquare,
  countTexts,
  draws,
  emptyPrefix,
  limit,
  nextPrefixes,
  observe,
  type Prefix,
  type TextLaw,
  textLaw,
  worth,
} from "./laws.ts";
import { best, finish } from "./support.ts";

const seeds = Array.from({ length: 12 }, (_, seed) => seed);
const whole = () => cannedProcessReward(worth);
/** Steps end with a "c". */
const byC = () => cannedProcessReward(worth, "by-c", { separator: "c", aggregate: "min" });

/** Two tokens one by one: of two first ones the better unfinished one goes on twice, all that ended compete. */
function twoBeamsLaw(): TextLaw {
  const law = new Map<string, number>();
  const first = [...nextPrefixes(emptyPrefix, 2)];
  const better = (a: Prefix, b: Prefix) => (worthOf(b) > worthOf(a) ? b : a);
  for (const [one, p] of first) {
    for (const [other, q] of first) {
      const ended = [one, other].filter(({ hasEnded }) => hasEnded);
      const open = [one, other].filter(({ hasEnded }) => !hasEnded);
      if (open.length === 0) {
        add(law, one.text, p * q);
        continue;
      }
      const next = [...nextPrefixes(open.reduce(better), 2)];
      for (const [left, s] of next) {
        for (const [right, t] of next) {
          add(law, [...ended, left, right].reduce(better).text, p * q * s * t);
        }
      }
    }
  }
  return law;
}

/** The empty answer has no step, so no reward. */
const worthOf = ({ text }: Prefix) => (text === "" ? Number.NEGATIVE_INFINITY : worth(text));

describe("beam search's law", () => {
  const answers = (options: Record<string, unknown>) =>
    observe(beamSearch, { reward: whole(), options: { step_tokens: 1, ...options } });

  test("is that of two beams from one, by enumeration", async () => {
    // both empty: nothing could be judged, which fails; its share of the law is 1 % of the draws
    const law = twoBeamsLaw();
    const judged = new Map([...law].filter(([text]) => text !== ""));
    const failed = law.get("")!;
    expect(failed).toBeCloseTo(0.01, 12);
    const observed = await countTexts(draws, async (seed) => {
      const options = { n: 2, beam_width: 2, step_tokens: 1 };
      const run = { reward: whole(), options, sampling: { seed, maxTokens: 2 } };
      return finish(beamSearch, run).then(
        (finished) => best(finished).text,
        () => "",
      );
    });
    expect(chiSquare(observed, new Map([...judged, ["", failed]]), draws)).toBeLessThan(limit);
    expect(chiSquare(observed, textLaw(2), draws)).toBeGreaterThan(10 * limit);
  });

  test("is the policy's own with one beam of width 1", async () => {
    const observed = await answers({ n: 1, beam_width: 1, aggregate: "count" }).catch(() => null);
    expect(observed).toBeNull(); // an empty answer has no steps, and alone no reward
    const reward = { ...cannedReward(() => 1), ...oneStep };
    const counted = await observe(beamSearch, {
      reward,
      options: { n: 1, beam_width: 1, step_tokens: 1 },
    });
    expect(chiSquare(counted, textLaw(2), draws)).toBeLessThan(limit);
  });

  test("is best-of-n, token for token, when a step holds the whole answer", async () => {
    for (const seed of seeds) {
      const run = { reward: whole(), sampling: { seed } };
      const beams = await finish(beamSearch, { ...run, options: { n: 6, beam_width: 6 } });
      const several = await finish(bestOfN, { ...run, options: { n: 6 } });
      expect(beams.result.candidates).toEqual(several.result.candidates);
      expect(beams.result.chosen).toEqual(several.result.chosen);
    }
  });
});

/** Any answer, the empty one too, is one step that is worth 1. */
const oneStep = {
  steps: { separator: "\n", split: (text: string) => [text], aggregate: () => 1 },
  open: () => ({
    score: async () => 1,
    scoreSteps: async (text: string) => ({ steps: [{ text, score: 1 }], reward: 1 }),
    close: () => undefined,
  }),
};

describe("beam search", () => {
  test("extends by steps: what is given up early ends with the separator", async () => {
    for (const seed of seeds) {
      const run = { reward: byC(), options: { n: 8, beam_width: 4 }, sampling: { seed } };
      const { result } = await finish(beamSearch, run);
      for (const { cut, text } of result.candidates) {
        if (cut === "rejected") expect(text).toMatch(/c$/);
      }
      expect(best({ result } as never).cut).toBeNull();
    }
  });

  test("returns the finished answer with the highest reward", async () => {
    for (const seed of seeds) {
      const run = { reward: byC(), options: { n: 8, beam_width: 2 }, sampling: { seed } };
      const finished = await finish(beamSearch, run);
      const ended = finished.result.candidates.filter(({ cut }) => cut === null);
      const highest = Math.max(...ended.map(({ reward }) => reward ?? Number.NEGATIVE_INFINITY));
      expect(best(finished).reward).toBe(highest);
    }
  });

  test.each([
    ["last", (scores: number[]) => scores.at(-1)!],
    ["min", (scores: number[]) => Math.min(...scores)],
    ["mean", (scores: number[]) => scores.reduce((a, b) => a + b) / scores.length],
  ])("judges by the aggregate that was asked for: %s", async (aggregate, expected) => {
    const options = { n: 4, beam_width: 2, aggregate };
    const { result } = await finish(beamSearch, { reward: byC(), options });
    for (const { text, reward } of result.candidates) {
      const steps = text.split("c").filter((step) => step !== "");
      if (steps.length > 0) expect(reward).toBeCloseTo(expected(steps.map(worth)), 12);
    }
  });

  test("looking ahead, keeps the step that leads somewhere", async () => {
    // after "a" the likeliest token is "b"; after "b" it is the end
    const reward = cannedProcessReward((text) => (text.startsWith("ab") ? 1 : 0.5));
    let seen = 0;
    for (const seed of seeds) {
      const options = { n: 4, beam_width: 4, step_tokens: 1, lookahead: 1 };
      const { result } = await finish(beamSearch, { reward, options, sampling: { seed } });
      const first = result.candidates.slice(0, 4).map(({ text }) => text[0]);
      if (!first.includes("a")) continue;
      seen++;
      const kept = result.candidates.filter(({ text, cut }) => text.length > 1 && cut === null);
      for (const { text } of kept) expect(text).toMatch(/^a/);
    }
    expect(seen).toBeGreaterThan(3);
  });

  test("after the last iteration lets answers run to their ends", async () => {
    const options = { n: 4, beam_width: 2, step_tokens: 1, iterations: 2 };
    const { result } = await finish(beamSearch, { reward: whole(), options });
    expect(result.stopped).toBe("complete");
    const ended = result.candidates.filter(({ cut }) => cut === null);
    expect(ended.length).toBeGreaterThanOrEqual(4);
    expect(Math.max(...ended.map(({ tokens }) => tokens.length))).toBeGreaterThan(2);
  });

  test("ends inside its budget with the best so far, and says so", async () => {
    const options = { n: 4, beam_width: 2, step_tokens: 1 };
    const run = { reward: whole(), options, budget: { tokens: 6 } };
    const { result, budget } = await finish(beamSearch, run);
    expect(result.stopped).toBe("tokens");
    expect(budget.tokens).toBeLessThanOrEqual(6 + 3);
    expect(result.candidates[result.chosen[0]!]!.reward).not.toBeNull();
  });

  test("does not let a step without a verdict go on where another has one", async () => {
    const reward = cannedProcessReward((step) => {
      if (step.startsWith("a")) throw new Error("503 from the judge");
      return worth(step);
    });
    const options = { n: 8, beam_width: 8, step_tokens: 1 };
    for (const seed of seeds) {
      const finished = await finish(beamSearch, { reward, options, sampling: { seed } });
      expect(best(finished).text).not.toMatch(/^a/);
      const failed = finished.result.candidates.filter(({ text }) => text.startsWith("a"));
      for (const { rewardProblem } of failed) expect(rewardProblem).toBe("503 from the judge");
    }
  });

  test("refuses a reward that judges no steps, and beams that do not divide n", async () => {
    await expect(finish(beamSearch, { reward: cannedReward(worth) })).rejects.toMatchObject({
      param: "alignment.reward",
    });
    const run = { reward: whole(), options: { n: 6, beam_width: 4 } };
    await expect(finish(beamSearch, run)).rejects.toMatchObject({ param: "alignment.n" });
  });
});

describe("dvts", () => {
  test("with one tree is beam search, event for event", async () => {
    for (const seed of seeds) {
      const run = { reward: byC(), options: { n: 4, beam_width: 4 }, sampling: { seed } };
      const tree = await finish(dvts, { ...run, choices: 2 });
      expect(tree.events).toEqual((await finish(beamSearch, { ...run, choices: 2 })).events);
    }
  });

  test("keeps one step in each tree, whatever the others are worth", async () => {
    const options = { n: 8, beam_width: 4, step_tokens: 1, iterations: 2 };
    for (const seed of seeds) {
      const run = { reward: whole(), options, sampling: { seed, maxTokens: 3 } };
      const { result } = await finish(dvts, run);
      const given = result.candidates.filter(({ cut }) => cut === "rejected");
      const [left, right] = [0, 1].map(
        (tree) => given.filter(({ index }) => Math.floor(index / 4) % 2 === tree).length,
      );
      expect(left).toBeLessThanOrEqual(3);
      expect(right).toBeLessThanOrEqual(3);
    }
  });

  test("returns the best of all trees", async () => {
    for (const seed of seeds) {
      const run = { reward: byC(), options: { n: 8, beam_width: 2 }, sampling: { seed } };
      const finished = await finish(dvts, run);
      const ended = finished.result.candidates.filter(({ cut }) => cut === null);
      const highest = Math.max(...ended.map(({ reward }) => reward ?? Number.NEGATIVE_INFINITY));
      expect(best(finished).reward).toBe(highest);
    }
  });
});
