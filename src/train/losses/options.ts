/** Options that several losses share: the same name means the same everywhere. */
import { Type } from "typebox";

/** How strongly log-ratios count: the strength of the KL term that the loss was derived from. */
export const betaOption = (preset: number) =>
  Type.Number({ exclusiveMinimum: 0, default: preset, description: "β, strength of the KL term" });

/** Libraries differ in this under one name; each loss says which of them does what. */
export const lengthNormalizeOption = (preset: boolean) =>
  Type.Boolean({
    default: preset,
    description: "means over an answer's tokens instead of sums",
  });

export const labelSmoothingOption = (preset: number) =>
  Type.Number({
    minimum: 0,
    exclusiveMaximum: 0.5,
    default: preset,
    description: "ε, share of pairs whose preference is taken to be the wrong way round",
  });

/** Of the likelihood of chosen answers added to a loss. */
export const nllWeightOption = (preset: number) =>
  Type.Number({
    minimum: 0,
    default: preset,
    description: "weight of −log π of the chosen answer",
  });

const SHIFTS = ["none", "batch", "running"] as const;
export type Shift = (typeof SHIFTS)[number];

/** Of losses that classify answers by rewards whose zero is arbitrary. */
export const shiftOption = (preset: Shift) =>
  Type.Enum(SHIFTS, {
    default: preset,
    description:
      "δ, what counts as neither good nor bad: 0, the middle of both kinds' mean rewards in the batch, or the mean of that over all steps so far",
  });
