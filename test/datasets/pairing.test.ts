import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bestPerPrompt,
  labelled,
  pairRules,
  pairsOf,
  rankings,
  topShare,
} from "../../src/datasets/pairing.ts";
import { sameText } from "../../src/datasets/prompt.ts";
import { gatherByPrompt } from "../../src/datasets/rewarded.ts";
import type { ListRow } from "../../src/datasets/types.ts";

const place = { file: "rows.jsonl", line: 1 };
const list = (prompt: string, answers: Readonly<Record<string, number>>): ListRow => ({
  kind: "list",
  prompt: { text: prompt },
  completions: Object.keys(answers),
  rewards: Object.values(answers),
  place,
});
const gathered = (...rows: ListRow[]) => gatherByPrompt(rows).prompts;
const texts = (rows: readonly { chosen: string; rejected: string }[]) =>
  rows.map(({ chosen, rejected }) => [chosen, rejected]);

describe("gathering", () => {
  test("leaves out and counts answers without a reward, empty ones and repeated ones", () => {
    const { prompts, report } = gatherByPrompt([
      list("p", { "a  b": 1, "a b": 3, c: Number.NaN, d: Infinity, " ": 9, e: -1 }),
      list("q", { a: Number.NaN }),
    ]);
    expect(report).toEqual({ answers: 7, unrewarded: 3, empty: 1, repeated: 1 });
    expect(prompts).toMatchObject([
      {
        prompt: { text: "p" },
        answers: [
          { completion: "a  b", reward: 2 },
          { completion: "e", reward: -1 },
        ],
      },
    ]);
  });

  test("takes rows of one prompt together, single answers and lists", () => {
    const { prompts } = gatherByPrompt([
      list("p", { a: 1 }),
      list("q", { a: 5 }),
      { kind: "supervised", prompt: { text: " p\n" }, completion: "b", reward: 2, place },
    ]);
    expect(prompts.map(({ answers }) => answers.length)).toEqual([2, 1]);
  });
});

describe("winners", () => {
  test("the best of each prompt, of equals the earlier", () => {
    const rows = bestPerPrompt(gathered(list("p", { a: 1, b: 3, c: 3 }), list("q", { d: -2 })));
    expect(rows.map(({ completion, reward }) => [completion, reward])).toEqual([
      ["b", 3],
      ["d", -2],
    ]);
  });

  test("the best share over all prompts, in the order that they came in", () => {
    const prompts = gathered(list("p", { a: 1, b: 5, c: 4 }), list("q", { d: 3, e: -2, f: 0 }));
    const kept = (share: number) => topShare(prompts, share).map(({ completion }) => completion);
    expect(kept(0.5)).toEqual(["b", "c", "d"]);
    expect(kept(0.01)).toEqual(["b"]);
    expect(kept(1)).toEqual(["a", "b", "c", "d", "e", "f"]);
  });
});

describe("pairs", () => {
  const prompts = gathered(list("p", { b: 2, a: 1, d: 4, c: 3 }));
  const by = (rule: (typeof pairRules)[number], rest = {}) => pairsOf(prompts, { rule, ...rest });

  test("best and worst, and the best two", () => {
    expect(by("max_min")).toEqual([
      { kind: "pair", prompt: { text: "p" }, chosen: "d", rejected: "a", margin: 3, place },
    ]);
    expect(texts(by("max_max"))).toEqual([["d", "c"]]);
  });

  test("all pairs, each in the order of its rewards", () => {
    const pairs = by("all_pairs");
    expect(texts(pairs).map((each) => each.join(""))).toEqual(["ba", "db", "cb", "da", "ca", "dc"]);
    expect(pairs.map(({ margin }) => margin)).toEqual([1, 2, 1, 3, 2, 1]);
  });

  test("a drawn other one, and two drawn ones: every choice comes, equally often", () => {
    const counts = (rule: "random" | "max_random") => {
      const seen = new Map<string, number>();
      for (let seed = 0; seed < 1200; seed++) {
        const [pair] = texts(by(rule, { seed }));
        seen.set(pair!.join(""), (seen.get(pair!.join("")) ?? 0) + 1);
      }
      return seen;
    };
    const others = counts("max_random");
    expect([...others.keys()].sort()).toEqual(["da", "db", "dc"]);
    const both = counts("random");
    expect([...both.keys()].sort()).toEqual(["ba", "ca", "cb", "da", "db", "dc"]);
    // Binomial: 400 ± 5·16.3, 200 ± 5·12.9.
    for (const count of others.values()) expect(Math.abs(count - 400)).toBeLessThan(82);
    for (const count of both.values()) expect(Math.abs(count - 200)).toBeLessThan(65);
  });

  test("a draw depends on the prompt and the seed, not on the company", () => {
    const more = gathered(list("q", { x: 1, y: 2, z: 3 }), list("p", { b: 2, a: 1, d: 4, c: 3 }));
    const [, pair] = pairsOf(more, { rule: "max_random", seed: 5 });
    expect(pair).toEqual(by("max_random", { seed: 5 })[0]);
  });

  test("the penalty for length decides which are best and worst, and in which order", () => {
    const long = gathered(list("p", { aaaaaaaaaa: 3, bb: 2.5, cccc: 1 }));
    // Penalised by 0.2 a character: 1, 2.1, 0.2.
    const [pair] = pairsOf(long, { rule: "max_min_p", lengthPenalty: 0.2 });
    expect(pair).toMatchObject({ chosen: "bb", rejected: "cccc" });
    expect(pair!.margin).toBeCloseTo(1.9, 12);
    // By 0.4: −1, 1.7, −0.6. The worst is now the one of the highest reward.
    const [other] = pairsOf(long, { rule: "max_min_p", lengthPenalty: 0.4 });
    expect(other).toMatchObject({ chosen: "bb", rejected: "aaaaaaaaaa" });
    expect(other!.margin).toBeCloseTo(2.7, 12);
  });

  test("rewards that hardly differ make no pair: by 0.01, or as asked", () => {
    const close = gathered(list("p", { a: 1, b: 1.0078125 }), list("q", { a: 1, b: 1.5 }));
    expect(texts(pairsOf(close, { rule: "max_min" }))).toEqual([["b", "a"]]);
    expect(pairsOf(close, { rule: "max_min", gapMin: 0.5 })).toEqual([]);
    expect(pairsOf(close, { rule: "max_min", gapMin: 0 })).toHaveLength(2);
    expect(pairsOf(gathered(list("p", { a: 1, b: 1 })), { rule: "all_pairs", gapMin: 0 })).toEqual(
      [],
    );
  });

  test("equal texts never pair, and the chosen one is the better, by every rule", () => {
    const word = fc.constantFrom("a", " a", "a ", "b", "b b", "b  b", "c");
    const rows = fc.array(
      fc.tuple(
        word,
        fc.oneof(fc.double({ noNaN: true, min: -3, max: 3 }), fc.constant(Number.NaN)),
      ),
    );
    fc.assert(
      fc.property(rows, fc.constantFrom(...pairRules), fc.nat(), (answers, rule, seed) => {
        const row: ListRow = {
          ...list("p", {}),
          completions: answers.map(([each]) => each),
          rewards: answers.map(([, each]) => each),
        };
        for (const { chosen, rejected, margin } of pairsOf(gathered(row), { rule, seed })) {
          expect(sameText(chosen, rejected)).toBe(false);
          expect(margin).toBeGreaterThan(0.01);
        }
      }),
    );
  });
});

test("rankings put the best first, of equals the earlier, and leave out what has no order", () => {
  const rows = rankings(gathered(list("p", { a: 1, b: 3, c: 1 }), list("q", { a: 2, b: 2 })));
  expect(rows).toEqual([
    {
      kind: "list",
      prompt: { text: "p" },
      completions: ["b", "a", "c"],
      rewards: [3, 1, 1],
      place,
    },
  ]);
});

describe("labels", () => {
  const prompts = gathered(list("p", { a: 1, b: 2, c: 3 }), list("q", { d: 4, e: 5 }));
  const marks = (rule: Parameters<typeof labelled>[1]) =>
    labelled(prompts, rule).map(
      ({ completion, desirable }) => completion + (desirable ? "+" : "-"),
    );

  test("by a threshold, itself desirable", () => {
    expect(marks({ threshold: 3 })).toEqual(["a-", "b-", "c+", "d+", "e+"]);
  });

  test("by shares of all answers, those between left out", () => {
    // NumPy: quantile([1, 2, 3, 4, 5], [0.25, 0.75]) = [2, 4].
    expect(marks({ desirableShare: 0.25, undesirableShare: 0.25 })).toEqual([
      "a-",
      "b-",
      "d+",
      "e+",
    ]);
    expect(marks({ desirableShare: 0.5, undesirableShare: 0.5 })).toEqual([
      "a-",
      "b-",
      "c+",
      "d+",
      "e+",
    ]);
  });

  test("many answers of the middle reward go to the label that has fewer", () => {
    const halves = { desirableShare: 0.5, undesirableShare: 0.5 };
    const of = (answers: Record<string, number>) =>
      labelled(gathered(list("p", answers)), halves).map(
        ({ completion, desirable }) => completion + (desirable ? "+" : "-"),
      );
    expect(of({ a: 0, b: 0, c: 0, d: 1 })).toEqual(["a-", "b-", "c-", "d+"]);
    expect(of({ a: 0, b: 1, c: 1, d: 1 })).toEqual(["a-", "b+", "c+", "d+"]);
    expect(of({ a: 1, b: 1 })).toEqual([]);
  });
});
