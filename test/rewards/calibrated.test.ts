/** Rewards on scales that can be compared: by curves, and against a policy's own answers. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { calibrated } from "../../src/rewards/calibrated.ts";
import { judgementOf } from "../../src/rewards/define.ts";
import { cannedReward, flaggedReward } from "../support/canned-reward.ts";
import { cannedSpeaker } from "../support/canned-speaker.ts";
import { makeReward, open, scoresOf } from "../support/reward-world.ts";

const byLength = () => cannedReward((text) => text.length, "judge");
const made = (options: Readonly<Record<string, unknown>>, speaker = cannedSpeaker(["a"])) =>
  makeReward(calibrated, { reward: "judge", ...options }, { rewards: [byLength()], speaker });

const folder = mkdtempSync(join(tmpdir(), "plumbline-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

function fileOf(name: string, outcomes: readonly (readonly [number, number])[]): string {
  const path = join(folder, name);
  const lines = outcomes.map(([score, value]) => JSON.stringify({ score, value }));
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

describe("a curve", () => {
  test("is a line, by offset and scale", async () => {
    expect(await scoresOf(made({ method: "linear", offset: 2, scale: 2 }), ["aaaaa"])).toEqual([
      1.5,
    ]);
  });

  test("is a logistic one, by slope and intercept", async () => {
    const [score] = await scoresOf(made({ method: "logistic", slope: 2, intercept: -1 }), ["a"]);
    expect(score).toBeCloseTo(0.7310585786300049, 12); // σ(1)
  });

  test("goes through knots", async () => {
    const knots = [
      [1, 0],
      [3, 1],
    ];
    const reward = made({ method: "isotonic", knots });
    expect(await scoresOf(reward, ["", "a", "aa", "aaa", "aaaa"])).toEqual([0, 0, 0.5, 1, 1]);
  });

  test("tells the raw reward as a part", async () => {
    const session = open(made({ method: "linear", scale: 4 }));
    expect(await session.judge!("aa")).toEqual({ reward: 0.5, parts: { judge: 2 } });
    session.close();
  });

  test("is fitted to a file", async () => {
    const line = fileOf("line.jsonl", [
      [1, 0],
      [3, 0],
    ]); // mean 2, deviation 1
    expect(await scoresOf(made({ method: "linear", file: line }), ["aaaa"])).toEqual([2]);
    const steps = fileOf("steps.jsonl", [
      [1, 0],
      [2, 1],
      [3, 0],
      [4, 1],
    ]);
    const reward = made({ method: "isotonic", file: steps });
    expect(await scoresOf(reward, ["a", "aa", "aaa", "aaaa"])).toEqual([0, 0.5, 0.5, 1]);
    const odds = fileOf("odds.jsonl", [
      [0, 1],
      [0, 0],
      [0, 0],
      [0, 0],
      [1, 0],
      [1, 1],
      [1, 1],
      [1, 1],
    ]);
    const [none, one] = await scoresOf(made({ method: "logistic", file: odds }), ["", "a"]);
    expect(none).toBeCloseTo(1 / 3, 9);
    expect(one).toBeCloseTo(2 / 3, 9);
  });

  test("has a revision that the file decides", () => {
    const revision = (values: readonly [number, number]) =>
      made({
        method: "linear",
        file: fileOf("same.jsonl", [
          [values[0], 0],
          [values[1], 0],
        ]),
      }).revision;
    expect(revision([1, 3])).toBe(revision([1, 3]));
    expect(revision([1, 3])).not.toBe(revision([1, 5]));
  });

  test.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    [
      "one that falls",
      {
        method: "isotonic",
        knots: [
          [0, 1],
          [1, 0],
        ],
      },
      /must rise/,
    ],
    [
      "knots out of order",
      {
        method: "isotonic",
        knots: [
          [1, 0],
          [0, 1],
        ],
      },
      /must rise/,
    ],
    ["a scale of 0", { method: "linear", scale: 0 }, /'reward\.scale'/],
    ["a line without scale", { method: "linear", offset: 1 }, /scale'.*unless a file/],
    [
      "an option of another method",
      { method: "linear", scale: 1, slope: 1 },
      /slope'.*does not read it/,
    ],
    [
      "a file that is not there",
      { method: "linear", file: join(folder, "none") },
      /cannot be read/,
    ],
  ])("is refused: %s", (_, options, message) => {
    expect(() => made(options)).toThrow(message);
  });

  test.each<[string, string, string, RegExp]>([
    ["no JSON", "linear", "1, 2", /line 1.*not JSON/],
    ["a field that is missing", "linear", '{"score": 1}', /line 1: value is required/],
    ["nothing", "linear", "\n", /has no line/],
    ["one score", "linear", '{"score": 1, "value": 0}', /all its scores are the same/],
    ["values that are no outcomes", "logistic", '{"score": 1, "value": 0.5}', /values 0 and 1/],
    [
      "outcomes that fall with the score",
      "logistic",
      '{"score": 1, "value": 1}\n{"score": 2, "value": 0}',
      /does not turn a reward round/,
    ],
  ])("is refused when its file holds %s", (_, method, text, message) => {
    const path = join(folder, "wrong.jsonl");
    writeFileSync(path, text);
    expect(() => made({ method, file: path })).toThrow(message);
  });
});

describe("against a policy's own answers", () => {
  const answers = ["a", "bb", "cc", "dddd"];
  const reference = { policy: "policy", n: 4 };

  test("a rank is the share of worse ones and half of the equal ones", async () => {
    const reward = made({ method: "rank", reference }, cannedSpeaker(answers));
    expect(await scoresOf(reward, ["", "x", "xx", "xxx", "xxxxx"])).toEqual([
      0, 0.125, 0.5, 0.75, 1,
    ]);
  });

  test("a z-score is the distance from their mean in their deviations", async () => {
    const reward = made({ method: "z-score", reference }, cannedSpeaker(answers));
    const [low, high] = await scoresOf(reward, ["x", "xxxx"]); // mean 2.25, variance 1.1875
    expect(low).toBeCloseTo(-1.25 / Math.sqrt(1.1875), 12);
    expect(high).toBeCloseTo(1.75 / Math.sqrt(1.1875), 12);
  });

  test("they are drawn once a prompt, each with a seed of its own", async () => {
    const speaker = cannedSpeaker(answers);
    const reward = made({ method: "rank", reference }, speaker);
    await scoresOf(reward, ["x", "xx", "xxx"]);
    expect(new Set(speaker.seeds).size).toBe(4);
    await scoresOf(reward, ["x"]);
    expect(speaker.seeds.slice(4)).toEqual(speaker.seeds.slice(0, 4));
  });

  test("how their rewards came about is told with every reward that is read against them", async () => {
    const judge = flaggedReward(
      (text) => text.length,
      (text) => (text === "bb" ? "asked-again" : null),
      "judge",
    );
    const reward = makeReward(
      calibrated,
      { reward: "judge", method: "rank", reference },
      { rewards: [judge], speaker: cannedSpeaker(answers) },
    );
    const session = open(reward);
    for (const text of ["x", "xx"]) {
      expect((await judgementOf(session, text)).flags).toEqual(["asked-again"]);
    }
    session.close();
  });

  test("drawing them ends when nobody waits any more", async () => {
    const speaker = cannedSpeaker([]);
    const session = open(made({ method: "rank", reference }, speaker));
    const score = session.score("x");
    await new Promise(setImmediate);
    expect(speaker.signals).toHaveLength(4);
    session.close();
    await expect(score).rejects.toMatchObject({ name: "AbortError" });
    expect(speaker.signals.every(({ aborted }) => aborted)).toBe(true);
  });

  test("a z-score fails where they are all alike; a rank does not", async () => {
    const same = ["aa", "bb"];
    await expect(
      scoresOf(made({ method: "z-score", reference }, cannedSpeaker(same)), ["x"]),
    ).rejects.toMatchObject({ code: "calibration_failed" });
    const ranked = made({ method: "rank", reference }, cannedSpeaker(same));
    expect(await scoresOf(ranked, ["x", "xx", "xxx"])).toEqual([0, 0.5, 1]);
  });

  test("unfinished answers cannot be ranked among finished ones", () => {
    expect(made({ method: "rank", reference }).acceptsPrefixes).toBe(false);
    expect(made({ method: "linear", scale: 1 }).acceptsPrefixes).toBe(true);
  });
});
