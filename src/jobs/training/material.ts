/** Rows of each family → examples in tokens, and the arrays of a pass over some of them. */
import { assert } from "../../base/assert.ts";
import type { DatasetRow, ListRow, PairRow, RatedRow } from "../../datasets/types.ts";
import { rewardStep } from "../../train/batches.ts";
import {
  desensitised,
  listStep,
  pairStep,
  promptSimilarities,
  tokenRarity,
  unpairedStep,
} from "../../train/families/answers.ts";
import {
  type MarkedAnswer,
  pointStep,
  preferenceStep,
  prefixMarks,
  prefixStep,
  rankedPairs,
  rankedStep,
} from "../../train/families/rewards.ts";
import {
  type ConversationExample,
  conversationStep,
  distillationStep,
} from "../../train/families/supervised.ts";
import type { Loss, PairLoss } from "../../train/losses/define.ts";
import { type Conditioning, conditional } from "./conditional.ts";
import { type Example, type Material, material, type PromptedAnswer } from "./define-material.ts";
import {
  type EncodedRow,
  encodeComparison,
  encodeConversation,
  encodeRow,
  type RowFormat,
  UnusableRow,
} from "./encode-rows.ts";
import { markedSteps, type StepReading } from "./step-marks.ts";

export interface MaterialOptions {
  /** Of the loss; those left out have their defaults. */
  readonly lossOptions?: Readonly<Record<string, unknown>>;
  /** Of `conditional-sft`, which needs it. */
  readonly conditioning?: Conditioning | undefined;
  /** Of reward models that learn from rows of steps. */
  readonly stepReading?: StepReading | undefined;
  /** Of reward models: every beginning of an answer is judged, not its end alone. */
  readonly prefixes?: boolean | undefined;
}

export function materialOf(
  loss: Loss,
  { lossOptions = {}, conditioning, stepReading, prefixes = false }: MaterialOptions = {},
): Material {
  switch (loss.family) {
    case "supervised":
      if (loss.name !== "conditional-sft") return supervised;
      assert(conditioning, "answers are conditioned on nothing");
      return conditional(conditioning);
    case "distillation":
      return distilled;
    case "pair":
      return pairsFor(loss, Number(lossOptions["ld_alpha"] ?? 1));
    case "unpaired":
      return unpaired(loss.needsMismatched);
    case "list":
      return lists;
    case "reward":
      if (loss.name === "preference-model") return comparisons;
      return prefixes ? comparedPrefixes : rewardPairs;
    case "reward-list":
      return rewardLists;
    case "reward-point":
      return stepReading ? markedSteps(loss.name, stepReading) : rewardPoints(loss.name, prefixes);
    case "correction":
    case "policy":
    case "actor-critic":
      assert(false, `${loss.name} does not learn from rows`);
  }
}

function readConversation(row: DatasetRow, format: RowFormat): (Example & ConversationExample)[] {
  assert(row.kind === "supervised", "kinds are checked before");
  const { tokens, learned } = encodeConversation(format, row);
  const share = learned.filter(Boolean).length;
  const lengths = [tokens.length];
  return [{ place: row.place, lengths, scoredTokens: share, share, answers: [], tokens, learned }];
}

const supervised = material({
  read: readConversation,
  step: (examples, tokensPerRow) => conversationStep(examples, tokensPerRow),
});

const distilled = material({
  read: readConversation,
  step(examples, tokensPerRow, _, teacher) {
    const taught = examples.map((example) => ({ ...example, teacher: teacher(example) }));
    return distillationStep(taught, tokensPerRow);
  },
});

interface PairExample extends Example, EncodedRow {
  readonly margin: number;
  /** Of the tokens of all prompts that it is among. */
  readonly rarity: ReadonlyMap<number, number>;
}

/** @param ldAlpha what tokens beyond the shorter answer's length count. */
function pairsFor({ name, needs = [] }: PairLoss, ldAlpha: number): Material {
  return material<PairExample>({
    read: (row, format) => {
      assert(row.kind === "pair", "kinds are checked before");
      if (needs.includes("margins") && row.margin === undefined)
        throw new UnusableRow(`it has no margin, which ${name} learns`);
      const example = compared(row, encodeAll(format, row, [row.chosen, row.rejected]));
      return [{ ...example, margin: row.margin ?? 0, rarity: new Map(), share: 1 }];
    },
    complete(examples) {
      if (!needs.includes("similarities")) return examples;
      const rarity = tokenRarity(examples.map(({ prompt }) => prompt));
      return examples.map((example) => ({ ...example, rarity }));
    },
    step(examples, tokensPerRow, references) {
      const groups = examples.map((example) => ({
        prompt: example.prompt,
        answers: weighed(referenced(example, references(example)), ldAlpha),
        pairs: [{ chosen: 0, rejected: 1 }],
      }));
      const step = pairStep(groups, tokensPerRow);
      const prompts = examples.map(({ prompt }) => prompt);
      return {
        ...step,
        float32: {
          ...step.float32,
          ...(needs.includes("margins") && {
            margins: Float32Array.from(examples, ({ margin }) => margin),
          }),
          ...(needs.includes("similarities") && {
            similarities: promptSimilarities(prompts, examples[0]!.rarity),
          }),
        },
      };
    },
  });
}

interface RatedExample extends Example, PromptedAnswer {
  readonly isDesirable: boolean;
}

/** Of a pair the chosen answer is a desirable one, the rejected one is not. */
function unpaired(needsMismatched: boolean): Material {
  return material<RatedExample>({
    read(row, format) {
      assert(row.kind === "rated" || row.kind === "pair", "kinds are checked before");
      const texts = row.kind === "pair" ? [row.chosen, row.rejected] : [row.completion];
      const { prompt, completions } = encodeAll(format, row, texts);
      return completions.map((completion, i) => ({
        place: row.place,
        lengths: [prompt.length + completion.length],
        scoredTokens: completion.length,
        share: 1,
        answers: [{ prompt, completion }],
        prompt,
        completion,
        isDesirable: row.kind === "pair" ? i === 0 : row.desirable,
      }));
    },
    complete: (examples, contextTokens) =>
      needsMismatched ? withMismatched(examples, contextTokens) : examples,
    step(examples, tokensPerRow, references) {
      const at = (which: number) =>
        examples.map((example) => ({
          ...example.answers[which]!,
          reference: references(example)[which]!,
          isDesirable: example.isDesirable,
        }));
      return unpairedStep(at(0), needsMismatched ? at(1) : null, tokensPerRow);
    },
  });
}

/**
 * Each prompt gets the answer to the nearest other prompt before it, cut where the context ends; the first one takes
 * the last. Fixed once, so that what the reference says of them can be, too.
 */
function withMismatched(examples: readonly RatedExample[], contextTokens: number) {
  const keys = examples.map(({ prompt }) => prompt.join());
  return examples.map((example, i) => {
    let other = i - 1;
    while (other > i - examples.length && keys.at(other) === keys[i]) other -= 1;
    const { prompt } = example;
    const completion = examples
      .at(other)!
      .completion.slice(0, Math.max(1, contextTokens - prompt.length));
    return {
      ...example,
      lengths: [...example.lengths, prompt.length + completion.length],
      scoredTokens: example.scoredTokens + completion.length,
      answers: [...example.answers, { prompt, completion }],
    };
  });
}

const lists = material({
  read: (row, format) => {
    assert(row.kind === "list", "kinds are checked before");
    const rewards = checkedRewards(row);
    return [{ ...compared(row, encodeAll(format, row, row.completions)), rewards, share: 1 }];
  },
  step: (examples, tokensPerRow, references) => {
    const given = examples.map((example) => ({
      prompt: example.prompt,
      answers: referenced(example, references(example)).map((answer, i) => ({
        ...answer,
        reward: example.rewards[i]!,
      })),
    }));
    return listStep(given, tokensPerRow);
  },
});

/** Of a list all pairs that its rewards order, which together count as one. */
const rewardPairs = material({
  read: (row, format) => {
    assert(row.kind === "pair" || row.kind === "list", "kinds are checked before");
    const texts = row.kind === "pair" ? [row.chosen, row.rejected] : row.completions;
    const pairs =
      row.kind === "pair"
        ? [
            {
              chosen: 0,
              rejected: 1,
              margin: row.margin ?? 0,
              demonstrated: row.demonstrated ?? false,
            },
          ]
        : rankedPairs(checkedRewards(row).map((reward) => -reward));
    const example = compared(row, encodeAll(format, row, texts, "whole"));
    return [{ ...example, scoredTokens: 0, answers: [], pairs, share: 1 }];
  },
  step: (examples, tokensPerRow) => rewardStep(examples, tokensPerRow),
});

/** Each pair in both orders, both answers behind one prompt. Of a list all pairs, which together count as one. */
const comparisons = material({
  read: (row, format) => {
    assert(row.kind === "pair" || row.kind === "list", "kinds are checked before");
    const texts = row.kind === "pair" ? [row.chosen, row.rejected] : row.completions;
    const ranked =
      row.kind === "pair"
        ? [{ chosen: 0, rejected: 1, weight: 1 }]
        : rankedPairs(checkedRewards(row).map((reward) => -reward));
    const { prompt, turns, separator } = encodeComparison(format, row.prompt, texts);
    const compared = ranked.map(({ chosen, rejected, weight }) => ({
      prompt,
      chosen: turns[chosen]!,
      rejected: turns[rejected]!,
      separator,
      weight: weight ?? 1,
    }));
    const lengths = compared.flatMap(({ chosen, rejected }) => {
      const length = prompt.length + chosen.length + separator.length + rejected.length;
      return [length, length];
    });
    return [{ place: row.place, lengths, scoredTokens: 0, share: 1, answers: [], compared }];
  },
  step: (examples, tokensPerRow) =>
    preferenceStep(
      examples.flatMap(({ compared }) => compared),
      tokensPerRow,
    ),
});

const rewardLists = material({
  read: (row, format) => {
    assert(row.kind === "list", "kinds are checked before");
    const rewards = checkedRewards(row);
    const order = rewards.map((_, i) => i).sort((a, b) => rewards[b]! - rewards[a]! || a - b);
    const texts = order.map((i) => row.completions[i]!);
    const example = compared(row, encodeAll(format, row, texts, "whole"));
    return [{ ...example, scoredTokens: 0, answers: [], share: 1 }];
  },
  step: (examples, tokensPerRow) => rankedStep(examples, tokensPerRow),
});

/** Both answers where they begin to differ and from there on, as far as both go. Of a list all pairs, which together count as one. */
const comparedPrefixes = material({
  read: (row, format) => {
    assert(row.kind === "pair" || row.kind === "list", "kinds are checked before");
    if (row.kind === "pair" && row.margin !== undefined)
      throw new UnusableRow("it has a margin, of which its prefixes have no known share");
    const texts = row.kind === "pair" ? [row.chosen, row.rejected] : row.completions;
    const ranked =
      row.kind === "pair"
        ? [{ chosen: 0, rejected: 1, weight: 1 }]
        : rankedPairs(checkedRewards(row).map((reward) => -reward));
    const { prompt, completions } = encodeAll(format, row, texts, "whole");
    const pairs = ranked.map(({ chosen, rejected, weight }) => ({
      prompt,
      chosen: completions[chosen]!,
      rejected: completions[rejected]!,
      weight: weight ?? 1,
    }));
    const lengths = pairs.flatMap(({ chosen, rejected }) =>
      [chosen, rejected].map((answer) => prompt.length + answer.length),
    );
    return [{ place: row.place, lengths, scoredTokens: 0, share: 1, answers: [], pairs }];
  },
  step: (examples, tokensPerRow) =>
    prefixStep(
      examples.flatMap(({ pairs }) => pairs),
      tokensPerRow,
    ),
});

/**
 * Each answer's target at its last token, or at each of them: its reward, or for an answer that is good or bad the loss's two
 * numbers.
 */
function rewardPoints(loss: string, prefixes: boolean): Material {
  return material<Example & MarkedAnswer>({
    read(row, format) {
      const judged = judgedAnswers(row, loss);
      const texts = judged.map(({ text }) => text);
      assert(row.kind !== "prompt" && row.kind !== "steps", "kinds are checked before");
      const { prompt, completions } = encodeAll(format, row, texts, "whole");
      return completions.map((completion, i) => ({
        place: row.place,
        lengths: [prompt.length + completion.length],
        scoredTokens: 0,
        share: 1,
        answers: [],
        prompt,
        completion,
        marks: prefixes
          ? prefixMarks(completion.length, judged[i]!.target)
          : [{ at: completion.length - 1, target: judged[i]!.target }],
      }));
    },
    step: (examples, tokensPerRow) => pointStep(examples, tokensPerRow),
  });
}

function judgedAnswers(row: DatasetRow, loss: string): { text: string; target: number }[] {
  const bad = loss === "reward-hinge" ? -1 : 0;
  switch (row.kind) {
    case "rated":
      return [{ text: row.completion, target: row.desirable ? 1 : bad }];
    case "supervised":
      if (row.reward === undefined) throw new UnusableRow("it has no reward to learn");
      if (!Number.isFinite(row.reward)) throw new UnusableRow(`its reward is ${row.reward}`);
      return [{ text: row.completion, target: row.reward }];
    case "list": {
      const rewards = checkedRewards(row, false);
      return row.completions.map((text, i) => ({ text, target: rewards[i]! }));
    }
    case "steps":
      throw new UnusableRow(
        "it is judged step by step; say with --step-convention how they are read, for instance trl",
      );
    case "pair":
    case "prompt":
      assert(false, "kinds are checked before");
  }
}

function encodeAll(
  format: RowFormat,
  row: Pick<PairRow | RatedRow, "prompt">,
  answers: readonly string[],
  part: "spoken" | "whole" = "spoken",
): EncodedRow {
  return encodeRow(format, { prompt: row.prompt, answers }, part);
}

/** An example of several answers to one prompt. @throws UnusableRow when all of them are the same tokens */
function compared({ place }: PairRow | ListRow, { prompt, completions }: EncodedRow) {
  if (completions.length < 2) throw new UnusableRow("it has fewer than two answers to compare");
  if (new Set(completions.map((ids) => ids.join())).size === 1)
    throw new UnusableRow("its answers are equal");
  const lengths = completions.map(({ length }) => prompt.length + length);
  const answers = completions.map((completion) => ({ prompt, completion }));
  const scoredTokens = completions.reduce((sum, { length }) => sum + length, 0);
  return { place, lengths, scoredTokens, answers, prompt, completions };
}

/** @throws UnusableRow for a reward that is no number, or rewards that are all the same where an order is wanted */
function checkedRewards({ rewards, completions }: ListRow, isOrdered = true): readonly number[] {
  if (rewards.length !== completions.length)
    throw new UnusableRow(`it has ${rewards.length} rewards for ${completions.length} answers`);
  const broken = rewards.find((reward) => !Number.isFinite(reward));
  if (broken !== undefined) throw new UnusableRow(`a reward is ${broken}`);
  if (isOrdered && new Set(rewards).size < 2)
    throw new UnusableRow("its rewards are equal and order nothing");
  return rewards;
}

/** Of two answers those tokens less that one has beyond the other's length. */
function weighed(answers: ReturnType<typeof referenced>, alpha: number) {
  if (alpha === 1) return answers;
  const [a, b] = answers.map(({ completion }) => completion);
  const weights = desensitised([a!, b!], alpha);
  return answers.map((answer, i) => ({ ...answer, weights: weights[i]! }));
}

function referenced({ answers }: Example, references: readonly number[]) {
  return answers.map(({ completion }, i) => ({ completion, reference: references[i]! }));
}
