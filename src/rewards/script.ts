/**
 * Share of an answer's letters that belong to the wanted scripts, in [0, 1], by Unicode's Script_Extensions: what script
 * an answer is written in, which is not what language. NaN ("no judgement") for an answer without letters.
 * Cost: nothing. Names: Unicode's, such as Latin, Cyrillic, Greek, Arabic, Hebrew, Devanagari, Han, Hiragana, Hangul.
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { defineReward } from "./define.ts";
import { ruleReward } from "./rule.ts";

export const script = defineReward({
  name: "script",
  description: "Share of the answer's letters that are of the wanted scripts.",
  isInline: true,
  options: Type.Object({
    scripts: Type.Array(Type.String({ pattern: "^[A-Za-z_]{1,40}$" }), {
      minItems: 1,
      maxItems: 16,
      description: "by Unicode's names; Japanese is Han, Hiragana and Katakana",
    }),
  }),
  create(id, options, _world) {
    const wanted = new RegExp(`[${options.scripts.map(scriptClass).join("")}]`, "u");
    return ruleReward(
      id,
      { kind: "script", options, acceptsPrefixes: true, range: [0, 1] },
      (text) => {
        const letters = text.match(/\p{L}/gu) ?? [];
        return letters.filter((letter) => wanted.test(letter)).length / letters.length;
      },
    );
  },
});

function scriptClass(name: string): string {
  const source = `\\p{Script_Extensions=${name}}`;
  try {
    new RegExp(source, "u");
    return source;
  } catch (cause) {
    const problem = `'${name}' is no script of Unicode; names are Latin, Cyrillic, Han and so on`;
    throw new GatewayError(
      "invalid_request",
      { param: "alignment.reward.scripts", problem },
      { cause },
    );
  }
}
