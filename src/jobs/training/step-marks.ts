/**
 * Answers in judged steps → marks at the ends of steps, in the very tokens and places in which a served process reward
 * model is read: `rewards/step-layouts.ts`.
 */
import { assert } from "../../base/assert.ts";
import type { StepsRow } from "../../datasets/types.ts";
import {
  type StepConvention,
  type StepSettings,
  stepConvention,
} from "../../rewards/step-conventions.ts";
import { type LayoutParts, layouts } from "../../rewards/step-layouts.ts";
import { type MarkedAnswer, pointStep } from "../../train/families/rewards.ts";
import { type Example, type Material, material } from "./define-material.ts";
import { type RowFormat, UnusableRow } from "./encode-rows.ts";

/** What a rating between good and bad is to a loss that knows but the two. */
export const neutrals = ["good", "bad", "half", "drop"] as const;
export type Neutral = (typeof neutrals)[number];

export interface StepReading {
  /** As the served reward will be told. */
  readonly settings: StepSettings;
  readonly neutral: Neutral;
}

/** @param loss `reward-regression` learns ratings as they are; the others know right and wrong. */
export function markedSteps(loss: string, { settings, neutral }: StepReading): Material {
  const convention = stepConvention(settings);
  const read = (row: StepsRow, format: RowFormat) => {
    const { ids, at } = laidOut(row, format, convention);
    const marks = at.flatMap((place, i) => {
      const target = targetOf(row.labels[i]!, { loss, scale: row.scale, neutral });
      return target === null ? [] : [{ at: place, target }];
    });
    if (marks.length === 0) throw new UnusableRow("none of its steps has a label to learn");
    const completion = ids.slice(0, at.at(-1)! + 1); // nothing after the last mark reaches a score
    return { prompt: [], completion, marks };
  };
  const whole = material<Example & MarkedAnswer>({
    read(row, format) {
      if (row.kind !== "steps")
        throw new UnusableRow("it is not judged step by step; leave out --step-convention");
      const marked = read(row, format);
      return [
        {
          ...marked,
          place: row.place,
          lengths: [marked.completion.length],
          scoredTokens: 0,
          share: marked.marks.length,
          answers: [],
        },
      ];
    },
    step: (examples, tokensPerRow) => pointStep(examples, tokensPerRow),
  });
  const facts = [["steps, as PLUMBLINE_REWARD_STEPS", JSON.stringify(settings)]] as const;
  return { ...whole, informed: () => ({ ...whole, facts }) };
}

function laidOut(
  { prompt, steps: given }: StepsRow,
  { tokenizer, template }: RowFormat,
  { layout, separator, marker, glue, trims }: StepConvention,
) {
  const cut = given.findIndex((step) => step.includes(separator));
  if (cut >= 0) {
    const problem = `step ${cut + 1} contains ${JSON.stringify(separator)}, where serving ends a step`;
    throw new UnusableRow(
      `${problem}; name another separator: --step-convention '{"convention": …, "separator": …}'`,
    );
  }
  if (!template && (layout === "chat" || layout === "turns"))
    throw new UnusableRow(
      "its steps are read in a conversation, and the base has no chat template",
    );
  const messages = "text" in prompt ? [{ role: "user", content: prompt.text }] : prompt.messages;
  const parts: LayoutParts = { tokenizer, template, separator, marker: marker ?? separator, glue };
  const steps = trims ? given.map((step) => step.trim()) : given;
  const marked = layouts[layout](parts, messages, steps);
  assert(marked.at.length === steps.length, "a step has no mark");
  return marked;
}

interface Judging {
  readonly loss: string;
  readonly scale: StepsRow["scale"];
  readonly neutral: Neutral;
}

/** What the loss shall foretell; null: nothing. */
function targetOf(label: number, { loss, scale, neutral }: Judging): number | null {
  if (!Number.isFinite(label)) return null;
  if (loss === "reward-regression") return label;
  const right = scale === "right" ? label : rightness(label, neutral);
  if (right === null) return null;
  return loss === "reward-hinge" ? 2 * right - 1 : right;
}

/** Of ratings of −1, 0 and 1. Lightman et al., arXiv:2305.20050, appendix: neutral steps are taken for right ones. */
function rightness(rating: number, neutral: Neutral): number | null {
  if (rating === 1) return 1;
  if (rating === -1) return 0;
  if (rating !== 0)
    throw new UnusableRow(
      `a step is rated ${rating}, and right or wrong are 1 and -1; learn other scales with reward-regression`,
    );
  return { good: 1, bad: 0, half: 0.5, drop: null }[neutral];
}
