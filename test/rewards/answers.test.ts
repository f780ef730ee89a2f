/** Final answers and their one form. Spellings: GSM8K's, MATH's and SQuAD's own; equality by exact arithmetic. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AnswerPlace, canonical, finalAnswer } from "../../src/rewards/answers.ts";

const same = (...answers: string[]) =>
  expect(new Set(answers.map((each) => canonical(each))).size).toBe(1);
const different = (...answers: string[]) =>
  expect(new Set(answers.map((each) => canonical(each))).size).toBe(answers.length);

describe("the final answer", () => {
  test.each<[AnswerPlace, string, string | null]>([
    ["whole", "  forty-two \n", "forty-two"],
    ["whole", " \n ", null],
    ["last-line", "First.\nThen 7\n\n", "Then 7"],
    ["last-number", "There are 3 boxes of 1,250.50 each.", "1,250.50"],
    ["last-number", "so it costs $-4 in all", "$-4"],
    ["last-number", "between 10-20", "20"],
    ["last-number", "x = 5 - 3", "3"],
    ["last-number", "it falls to -3.", "-3"],
    ["last-number", "that is \\frac{3}{4} of it", "3/4"],
    ["last-number", "half of it: 1 1/2 cups", "1 1/2"],
    ["last-number", "which is 12.5% of all", "12.5%"],
    ["last-number", "in version 3.14.15 of v2", null],
    ["last-number", "on 1/2/2020 nothing", null],
    ["last-number", "6.02 × 10^{23} of them", "6.02 × 10^{23}"],
    ["last-number", "none", null],
    ["boxed", "so \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"],
    ["boxed", "\\boxed{1} no, \\boxed{\\text{b{c}d}}", "\\text{b{c}d}"],
    ["boxed", "\\boxed{\\boxed{5}}", "5"],
    ["boxed", "\\boxed{5", null],
    ["boxed", "\\boxed{ }", null],
    ["hashes", "2+2 is <<2+2=4>>4\n#### 1,004", "1,004"],
    ["hashes", "no mark", null],
    ["tag", "<think>7</think><answer> 8 </answer>", "8"],
    ["tag", "<answer>8", null],
    ["marker", "Answer: 3\nanswer: **4**.\nBye", "4"],
    ["marker", "I do not know", null],
    ["auto", "The answer is 3. So \\boxed{4}", "4"],
    ["auto", "The answer is: *Paris*.", "Paris"],
    ["auto", "**Final Answer:** 12 km", "12 km"],
    ["auto", "We get 4, then 9 of them", "9"],
    ["auto", "Either way.\nParis", "Paris"],
    ["auto", "<think>the answer is 3</think>7", "7"],
    ["auto", "", null],
  ])("by %s of %j is %j", (from, text, answer) => {
    expect(finalAnswer(text, { from })).toBe(answer);
  });

  test("follows a marker of any kind, and of any case in ASCII", () => {
    expect(finalAnswer("İ RÉSULTAT → 5", { from: "marker", marker: "résultat →" })).toBe(null);
    expect(finalAnswer("İ Therefore: 5", { from: "marker", marker: "THEREFORE:" })).toBe("5");
  });

  test("is found in long and hostile texts without delay", () => {
    const hostile = [
      "1,111".repeat(20_000),
      "{".repeat(100_000),
      "\\boxed{".repeat(20_000),
      " ".repeat(100_000),
      "a.".repeat(50_000),
      "-1/2".repeat(25_000),
      "answer ".repeat(15_000),
      "\\frac{1}".repeat(12_000),
      "1".repeat(100_000),
      "*".repeat(100_000),
      `${"*".repeat(100_000)}x`,
      `${"$".repeat(100_000)}x`,
      `answer:x${" ".repeat(100_000)}x`,
      `x=${"a".repeat(100_000)}=`,
      `${"9".repeat(100_000)}.5.5`,
      "7 ".repeat(50_000),
    ];
    const started = performance.now();
    for (const text of hostile) {
      for (const from of ["auto", "boxed", "last-number", "marker"] as const) {
        canonical(finalAnswer(text, { from }) ?? "");
      }
    }
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe("the canonical form", () => {
  test.each([
    [
      "a thousand",
      [
        "1000",
        "1,000",
        "1000.0",
        "1e3",
        "$1,000.00",
        "+1000",
        "1000.",
        "1{,}000",
        "1 × 10^3",
        "\\$1000",
        "**1000**",
        "$1000$",
        "x = 1000",
        "1\u202f000",
        "1\\,000",
      ],
    ],
    [
      "a half",
      ["1/2", "0.5", ".5", "2/4", "\\frac{1}{2}", "\\dfrac12", "½", "5e-1", "$\\frac{1}{2}$"],
    ],
    [
      "minus one and a half",
      ["-1.5", "\u22121.5", "-1 1/2", "-1½", "-3/2", "-\\frac{3}{2}", "$-1.50"],
    ],
    ["half of a hundred", ["50%", "50 %", "50\\%", "50.0%", "100/2%"]],
    ["zero", ["0", "-0", "0.000", "0/7"]],
    ["Paris", ["Paris", "paris.", " the  Paris ", "\\text{Paris}", "**Paris**", "“Paris”!"]],
    ["choice A", ["A", "(A)", "a.", "A)", "**A**"]],
    ["an expression", ["x^2 + 1", "X^2+1", "$x^2+1$"]],
    ["a pair", ["(1, 2)", "(1,2)", "\\left(1, 2\\right)"]],
  ])("is one for all spellings of %s", (_what, spellings) => same(...spellings));

  test.each([
    [
      "numbers that are not equal",
      ["1/3", "0.333", "0.3333333333333333", "33%", "0.5", "50%", "50"],
    ],
    ["what the same characters make", ["12", "1,2", "1 2", "(1,2)", "[1,2)", "1:2"]],
    ["expressions", ["x+1", "x-1", "x/1", "-x", "x"]],
    ["large neighbours", ["9007199254740992", "9007199254740993"]],
    ["choices", ["A", "B", "the", "?"]],
    ["signs", ["-5 apples", "5 apples"]],
  ])("keeps apart %s", (_what, answers) => different(...answers));

  test("counts a percentage as a share where asked", () => {
    expect(canonical("50%", { percentIsShare: true })).toBe(canonical("1/2"));
    expect(canonical("50", { percentIsShare: true })).toBe("50");
  });

  test("is written as a reader would", () => {
    const forms = ["1,000", "-0.50", "2/6", "50 %", "The Eiffel Tower.", "1/1024"].map((each) =>
      canonical(each),
    );
    expect(forms).toEqual(["1000", "-0.5", "1/3", "50%", "eiffel tower", "0.0009765625"]);
  });

  test("of a number without end, too long or divided by zero is its text", () => {
    expect(canonical("1/0")).toBe("1/0");
    expect(canonical("1e999")).toBe("1e999");
    expect(canonical("9".repeat(500))).toBe("9".repeat(500));
  });

  const integer = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n });

  test("is equal exactly where numbers are equal, however they are written", () => {
    const spelling = fc.tuple(
      fc.bigInt({ min: 0n, max: 10n ** 12n }),
      fc.nat(6),
      fc.constantFrom("plain", "comma", "exponent", "fraction"),
    );
    const write = ([digits, places, how]: [bigint, number, string]) => {
      const scale = 10n ** BigInt(places);
      const whole = String(digits / scale);
      const decimals = places === 0 ? "" : `.${String(digits % scale).padStart(places, "0")}`;
      if (how === "comma") return whole.replace(/\B(?=(\d{3})+$)/g, ",") + decimals;
      if (how === "exponent") return `${digits}e-${places}`;
      return how === "fraction" ? `${digits}/${scale}` : whole + decimals;
    };
    fc.assert(
      fc.property(spelling, spelling, (a, b) => {
        const areEqual = a[0] * 10n ** BigInt(b[1]) === b[0] * 10n ** BigInt(a[1]);
        expect(canonical(write(a)) === canonical(write(b))).toBe(areEqual);
        const again: [bigint, number, string] = [a[0] * 10n, a[1] + 1, b[2]];
        expect(canonical(write(again))).toBe(canonical(write(a)));
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test("of a fraction does not change when both its parts are multiplied", () => {
    const factor = fc.bigInt({ min: 1n, max: 10n ** 6n });
    fc.assert(
      fc.property(integer, factor, factor, (above, below, by) => {
        expect(canonical(`${above * by}/${below * by}`)).toBe(canonical(`${above}/${below}`));
        expect(canonical(`\\frac{${above}}{${below}}`)).toBe(canonical(`${above}/${below}`));
      }),
      { seed: 6, numRuns: 200 },
    );
  });

  test("of a form is that form, whatever the answer is, and is blank only for blank answers", () => {
    const piece = fc.constantFrom(
      "the",
      "a",
      " ",
      "12",
      "3",
      ".",
      ",",
      "-",
      "/",
      "%",
      "$",
      "x",
      "=",
      "Paris",
      "\\frac",
      "{",
      "}",
      "(",
      ")",
      "½",
      "^",
      "e",
      "\n",
      "*",
      "Ü",
      "\\text{",
      "!",
      "−",
    );
    const answer = fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.array(piece, { maxLength: 9 }).map((all) => all.join("")),
    );
    fc.assert(
      fc.property(answer, (text) => {
        const form = canonical(text);
        expect(canonical(form)).toBe(form);
        if (text.trim() !== "") expect(form).not.toBe("");
      }),
      { seed: 7, numRuns: 2000 },
    );
  });
});
