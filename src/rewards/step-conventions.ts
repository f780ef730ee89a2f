/** The ways in which published process reward models read steps and say what they think of them. */
import type { Config } from "../base/config.ts";
import type { LayoutName } from "./step-layouts.ts";
import type { AggregateName } from "./step-rule.ts";

export type StepSettings = NonNullable<Config["rewardSteps"]>;

export interface StepConvention {
  readonly layout: LayoutName;
  readonly separator: string;
  /** Null: the separator. */
  readonly marker: string | null;
  readonly glue: string;
  /** What a language model says of a right step, and of a wrong one; null: it is a token classifier. */
  readonly tokens: readonly [string, string] | null;
  readonly trims: boolean;
  readonly aggregate: AggregateName;
}

export const stepConventions: Readonly<Record<StepSettings["convention"], StepConvention>> = {
  /** Model cards of Qwen2.5-Math-PRM and -PRM800K; product: Zhang et al., arXiv:2501.07301. */
  "qwen2.5-math-prm": {
    layout: "chat",
    separator: "\n\n",
    marker: "<extra_0>",
    glue: "",
    tokens: null,
    trims: false,
    aggregate: "product",
  },
  /** Model card of peiyi9979/math-shepherd-mistral-7b-prm; min: Wang et al., arXiv:2312.08935. */
  "math-shepherd": {
    layout: "text",
    separator: "\n",
    marker: " ки",
    glue: " ",
    tokens: ["+", "-"],
    trims: true,
    aggregate: "min",
  },
  /** math-rm/prm_evaluate.py of RLHFlow/RLHF-Reward-Modeling, which takes the mean. */
  rlhflow: {
    layout: "turns",
    separator: "\n\n",
    marker: "+",
    glue: " ",
    tokens: ["+", "-"],
    trims: true,
    aggregate: "mean",
  },
  /** `tokenize_row` of TRL's PRMTrainer with its default separator; last: search-and-learn's default. */
  trl: {
    layout: "pieces",
    separator: "\n",
    marker: null,
    glue: "",
    tokens: null,
    trims: false,
    aggregate: "last",
  },
};

/** The convention with what the settings say otherwise. */
export function stepConvention({ convention, ...changes }: StepSettings): StepConvention {
  return { ...stepConventions[convention], ...changes };
}
