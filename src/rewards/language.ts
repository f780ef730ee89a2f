/**
 * Whether an answer is in one of the wanted languages: `matched`, else `unmatched`. NaN ("no judgement") where no language
 * is to be seen: numbers, signs, nothing. A word or two are guesses, so that unfinished answers are not judged; what is
 * in two languages counts as the one with more of it. The first 4,000 characters decide. Cost: about 0.3 ms; the
 * detector takes 150 MB from the first answer on.
 * Detector: eld, by frequencies of letter sequences; an answer of a sentence or two is seldom taken for another language.
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { defineReward } from "./define.ts";
import { ruleReward } from "./rule.ts";
import { rangeOf, worthOptions } from "./verdict.ts";

const CHARACTERS_READ = 4_000;

/** ISO 639-1, as the detector knows them. */
const known =
  "am ar az be bg bn ca cs da de el en es et eu fa fi fr gu he hi hr hu hy is it ja ka kn ko ku lo lt lv ml mr ms nl no or pa pl pt ro ru sk sl sq sr sv ta te th tl tr uk ur vi yo zh".split(
    " ",
  );

export const language = defineReward({
  name: "language",
  description: "Whether the answer is in a wanted language.",
  isInline: true,
  options: Type.Object({
    languages: Type.Array(Type.String({ minLength: 2, maxLength: 2 }), {
      minItems: 1,
      maxItems: 60,
      description: "by ISO 639-1: en, de, fr, zh and so on",
    }),
    ...worthOptions,
  }),
  create(id, options, _world) {
    const { languages, matched, unmatched } = options;
    const strange = languages.find((each) => !known.includes(each));
    if (strange !== undefined) {
      const problem = `'${strange}' is none of the languages that can be told apart: ${known.join(", ")}`;
      throw new GatewayError("invalid_request", {
        param: "alignment.reward.languages",
        problem,
      });
    }
    return ruleReward(
      id,
      { kind: "language", options, acceptsPrefixes: false, range: rangeOf(matched, unmatched) },
      async (text) => {
        const { eld } = await import("eld/small"); // takes a moment to load, which no other reward waits for
        const found = eld.detect(text.slice(0, CHARACTERS_READ)).language;
        if (found === "") return Number.NaN;
        return languages.includes(found) ? matched : unmatched;
      },
    );
  },
});
