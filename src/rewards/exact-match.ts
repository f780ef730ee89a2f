/**
 * Whether the final answer of a text is one of the expected ones: `matched`, else `unmatched`; `missing` where the text
 * has none. Cost: nothing.
 */
import { Type } from "typebox";
import { canonical, finalAnswer, withoutArticles, withoutPunctuation } from "./answers.ts";
import { defineReward } from "./define.ts";
import { ruleReward } from "./rule.ts";
import { answerOptions, rangeOf } from "./verdict.ts";

/** In the order they are applied. `spelling` is all of them for words, and the value for numbers. */
const evened = {
  spelling: (text: string) => canonical(text),
  case: (text: string) => text.toLowerCase(),
  punctuation: withoutPunctuation,
  articles: withoutArticles,
  whitespace: (text: string) => text.replace(/\s+/gu, " ").trim(),
};
const differences = ["spelling", "case", "punctuation", "articles", "whitespace"] as const;

export const exactMatch = defineReward({
  name: "exact-match",
  description:
    "Whether the final answer is an expected one, apart from differences that do not count.",
  isInline: true,
  options: Type.Object({
    expected: Type.Union([
      Type.String({ minLength: 1 }),
      Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 100 }),
    ]),
    ignore: Type.Array(Type.Enum([...differences]), {
      default: ["spelling"],
      description: "differences that do not count",
    }),
    ...answerOptions,
  }),
  create(id, options, _world) {
    const { matched, unmatched, missing = unmatched, ignore } = options;
    const even = (text: string) =>
      differences.reduce(
        (left, each) => (ignore.includes(each) ? evened[each](left) : left),
        text.trim(),
      );
    const expected = new Set([options.expected].flat().map(even));
    const range = rangeOf(matched, unmatched, missing);
    const rule = { kind: "exact-match", options, acceptsPrefixes: false, range };
    return ruleReward(id, rule, (text) => {
      const answer = finalAnswer(text, options);
      if (answer === null) return missing;
      return expected.has(even(answer)) ? matched : unmatched;
    });
  },
});
