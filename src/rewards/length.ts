/**
 * Prefers answers of a wanted length: −|length − target| / target where it is outside of `tolerance`, else 0; with
 * `max` instead of a target, 0 up to it and −(length − max) / max beyond. Unit: share of the wanted length.
 * Cost: nothing.
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { defineReward } from "./define.ts";
import { ruleReward } from "./rule.ts";

const units = {
  characters: (text: string) => Array.from(text).length,
  words: (text: string) => text.split(/\s+/).filter(Boolean).length,
  lines: (text: string) => text.split("\n").length,
};

export const length = defineReward({
  name: "length",
  description: "Prefers answers near a wanted length, or no longer than a limit.",
  isInline: true,
  options: Type.Object({
    unit: Type.Enum(["characters", "words", "lines"], { default: "words" }),
    target: Type.Optional(Type.Integer({ minimum: 1, description: "wanted length" })),
    tolerance: Type.Number({
      minimum: 0,
      default: 0,
      description: "share of the target that costs nothing",
    }),
    max: Type.Optional(Type.Integer({ minimum: 1, description: "longest that costs nothing" })),
  }),
  create(id, options, _world) {
    const { unit, target, tolerance, max } = options;
    if ((target === undefined) === (max === undefined)) {
      const problem = "needs either 'target' or 'max'";
      throw new GatewayError("invalid_request", { param: "alignment.reward", problem });
    }
    const limit = max ?? target!;
    return ruleReward(
      id,
      {
        kind: "length",
        options,
        acceptsPrefixes: max !== undefined,
        range: [Number.NEGATIVE_INFINITY, 0],
      },
      (text) => {
        const off = units[unit](text) - limit;
        const share = (max === undefined ? Math.abs(off) : Math.max(0, off)) / limit;
        return share <= tolerance ? 0 : -share;
      },
    );
  },
});
