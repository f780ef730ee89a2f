/** Steps judged by their arithmetic. What is right is worked out by hand, or made by the corpus with its flaw named. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { solveWith } from "../../src/corpus/arithmetic/solution.ts";
import { type ArithmeticFlaw, type CorpusPrompt, prompts } from "../../src/corpus/index.ts";
import { calculation } from "../../src/rewards/calculation.ts";
import { isProcessReward } from "../../src/rewards/define.ts";
import { findEquations } from "../../src/rewards/equations.ts";
import { made } from "./support.ts";

const { signal } = new AbortController();

function opened(question: string, options: Readonly<Record<string, unknown>> = {}) {
  const reward = made(calculation, options);
  if (!isProcessReward(reward)) throw new Error("it judges no steps");
  return reward.open({ messages: [{ role: "user", content: question }] }, signal);
}

const scoresOf = async (text: string, question = "", options = {}) =>
  (await opened(question, options).scoreSteps(text)).steps.map(({ score }) => score);

const verdicts = (text: string, tolerance = 0) =>
  findEquations(text, { tolerance, isOpen: false }).map(({ isRight }) => isRight);

describe("equations", () => {
  test.each([
    "3 × 4 + 2 = 14",
    "So 2 + 3 * 4 = 14 apples in all.",
    "She sold 48/2 = <<48/2=24>>24 clips in May.",
    "He earns $12 x 5 = $<<12*5=60>>60.",
    "1,250 + 750 = 2,000",
    "20% of 150 = 30",
    "100 - 20 = 80%",
    "12 / 48 = 25%",
    "2 1/2 × 4 = 10",
    "½ × 10 = 5",
    "(3 + 4) · 2 = 14",
    "3(4 + 1) = 15",
    "10 - (-5) = 15",
    "5² + 2^3 = 33",
    "\\(12 \\div 4 = \\boxed{3}\\)",
    "**6 ÷ 4 = 1.5**",
    "- 3 + 4 = 7",
    "2) 3 + 4 = 7",
    "10 / 3 = 3.33",
    "2 / 3 = 0.67",
    "8 hours/day * $5/hour = $40/day",
    "6 times 7 equals 42",
    "14 = 2 * 7",
    "987 + 2 ≈ 990",
    "0.1 + 0.2 = 0.3",
  ])("hold: %s", (text) => {
    const found = verdicts(text);
    expect(found.length).toBeGreaterThan(0);
    expect(new Set(found)).toEqual(new Set([true]));
  });

  test.each([
    "3 × 4 + 2 = 18",
    "She sold 48/2 = <<48/2=25>>25 clips.",
    "48 and 2: <<48/2=24>>25 clips",
    "10 / 3 = 3.35",
    "12.5 * 3 = 37.6",
    "10 / 3 = 3",
    "5 / 0 = 0",
    "0.1 + 0.2 = 0.30000000000000004",
    "20% of 150 = 31",
    "987 + 2 ≈ 1010",
  ])("do not hold: %s", (text) => {
    expect(verdicts(text)).toContain(false);
  });

  test.each([
    "x + 3 = 10",
    "2x - 5 = 11",
    "The cost of 5 apples = 10",
    "1 hour = 60 minutes",
    "5 feet + 6 inches = 66 inches",
    "2 dozen * 3 = 72",
    "half of 3 * 4 = 6",
    "total = 3 * tax",
    "a = b",
    "sqrt(16) + 3 = 7",
    "at 6:00 + 48 = 6:48",
  ])("are not judged where they are not read whole: %s", (text) => {
    expect(verdicts(text)).not.toContain(false);
    expect(verdicts(text)).not.toContain(true);
  });

  test("each link of a chain is one", () => {
    expect(verdicts("3 * 4 + 2 = 12 + 2 = 14")).toEqual([true, true]);
    expect(verdicts("3 * 4 + 2 = 12 + 3 = 15")).toEqual([false, true]);
    expect(verdicts("3 + 4 = 7 and so the total = 7 * 2 = 14")).toEqual([true, true]);
  });

  test("of whole numbers hold when and only when they do", () => {
    const number = fc.integer({ min: 0, max: 999 });
    const sign = fc.constantFrom("+", "-", "*");
    fc.assert(
      fc.property(number, sign, number, sign, number, number, (a, f, b, g, c, off) => {
        const operations = {
          "+": (x: number, y: number) => x + y,
          "-": (x: number, y: number) => x - y,
          "*": (x: number, y: number) => x * y,
        };
        const [first, second] = [operations[f as "+"], operations[g as "+"]];
        const right = g === "*" && f !== "*" ? first(a, second(b, c)) : second(first(a, b), c);
        const [holds] = verdicts(`Total: ${a} ${f} ${b} ${g} ${c} = ${right + off} in all`);
        expect(holds).toBe(off === 0);
      }),
    );
  });

  test("of any text end, and of long ones soon", () => {
    const unit = fc.constantFrom(...Array.from("1x+-*/()=.%$< >of^²"));
    fc.assert(fc.property(fc.string({ unit }), (text) => void verdicts(text)));
    for (const part of ["1+", "(", "-", "<<1=", "1 ", "9".repeat(99), "= 2 "]) {
      verdicts(part.repeat(20_000));
    }
  });

  test("take a relative error where it is allowed", () => {
    expect(verdicts("7 * 143 = 1000")).toEqual([false]);
    expect(verdicts("7 * 143 = 1000", 0.01)).toEqual([true]);
  });
});

describe("a step", () => {
  const question =
    "Ann has twelve boxes with 4 pens in each and gives half of them away over two weeks. 20% are red.";

  test("is worth wrong^w · ungrounded^u", async () => {
    const text = "12 * 4 = 48.\n48 / 2 = 25.\n25 + 9 = 33.\nNo number here.\nAnswer: 34";
    expect(await scoresOf(text, question)).toEqual([1, 0.01, 0.005, 1, 0.5]);
    expect(await scoresOf(text, question, { grounded: false })).toEqual([1, 0.01, 0.01, 1, 1]);
    const options = { wrong: 0, ungrounded: 0.25 };
    expect(await scoresOf(text, question, options)).toEqual([1, 0, 0, 1, 0.25]);
  });

  test("may use what the question states, implies or leaves of a share, and earlier results", async () => {
    const text = "2 * 7 = 14.\n12 * 4 = 48.\n48 * 0.2 = 9.6.\n48 * 0.8 = 38.4.\n48 / 14 = 3.43.";
    expect(await scoresOf(text, question)).toEqual([1, 1, 1, 1, 1]);
    expect(await scoresOf("12 * 5 = 60.\n60 * 60 = 3600.", question)).toEqual([0.5, 1]);
  });

  test.each([
    ["two hundred and six", "206 + 0 = 206"],
    ["twenty-five", "25 + 0 = 25"],
    ["three thousand four hundred", "3400 + 0 = 3400"],
    ["5 million", "5000000 + 0 = 5000000"],
    ["two thirds", "2 / 3 = 0.67"],
    ["one and a half", "1.5 + 0 = 1.5"],
    ["three dozen", "3 * 12 = 36"],
    ["fifty percent", "0.5 + 0 = 0.5"],
    ["5 metres in centimetres", "5 * 100 = 500"],
  ])("reads '%s' in a question", async (words, text) => {
    expect(await scoresOf(text, words)).toEqual([1]);
    expect(await scoresOf(text, "none")).not.toEqual([1]);
  });

  test("is judged alike whatever follows, and its last equation only when it is whole", async () => {
    const session = opened(question);
    expect(await session.score("12 * 4 = 4", { isFinished: false })).toBe(1);
    expect(await session.score("12 * 4 = 4.\n", { isFinished: false })).toBe(0.01);
    expect(await session.score("12 * 4 = 4")).toBe(0.01);
    expect(await session.score("")).toBeNaN();
  });
});

describe("on the embedded corpus", () => {
  const stream = prompts("arithmetic", "heldout", 11);
  const questions: readonly CorpusPrompt[] = Array.from({ length: 100 }, () => stream.next().value);

  /** Share of solutions with the flaw that lose something by it. */
  async function detected(flaw: ArithmeticFlaw | null): Promise<number> {
    const random = createRandom(3);
    let count = 0;
    for (const { messages, facts } of questions) {
      if (facts.domain !== "arithmetic") throw new Error("another domain");
      const { text } = solveWith(facts, flaw, random);
      if ((await opened(messages[0]!.content).score(text)) < 1) count += 1;
    }
    return count / questions.length;
  }

  test("right solutions get full marks", async () => {
    expect(await detected(null)).toBe(0);
  });

  test.each(["off-by-one", "off-by-ten", "wild-result"] as const)("%s is seen", async (flaw) => {
    expect(await detected(flaw)).toBe(1);
  });

  test("a miscopied number is seen unless it is another one of the question", async () => {
    expect(await detected("miscopied-number")).toBeGreaterThan(0.3);
  });
});
