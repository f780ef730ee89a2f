/**
 * Answers learned behind words that say how good each was. The words are ordinary text at the head of the prompt, so
 * that whoever asks the served model can write them: docs/training.md.
 */
import { assert } from "../../base/assert.ts";
import { GatewayError } from "../../base/errors.ts";
import { quantileOfSorted } from "../../base/statistics.ts";
import type { DatasetPrompt, DatasetRow, SupervisedRow } from "../../datasets/types.ts";
import {
  type ConversationExample,
  conversationStep,
  rewardLevel,
} from "../../train/families/supervised.ts";
import { type Example, type InformedMaterial, type Material, material } from "./define-material.ts";
import { encodeConversation, UnusableRow } from "./encode-rows.ts";

export const controlPlaces = ["system", "user"] as const;

export interface Conditioning {
  /** Of each level of reward, the worst first; two or more. */
  readonly words: readonly string[];
  /** Where the levels after the first begin: rewards, or shares of the rewards of all rows. */
  readonly levels:
    | { readonly thresholds: readonly number[] }
    | { readonly quantiles: readonly number[] };
  /** Whose message says the word: a system message of its own, or the first line of the user's last one. */
  readonly place: (typeof controlPlaces)[number];
}

/** @throws GatewayError invalid_request */
export function checkConditioning({ words, levels }: Conditioning): void {
  if (words.length < 2 || new Set(words).size < words.length)
    throw wrong(
      "--control-words",
      "it needs two different texts or more, the worst answers' first",
    );
  const [param, borders] =
    "thresholds" in levels
      ? (["--thresholds", levels.thresholds] as const)
      : (["--quantiles", levels.quantiles] as const);
  if (borders.length !== words.length - 1) {
    const problem = `${words.length} control words need ${words.length - 1} borders between them, not ${borders.length}`;
    throw wrong(param, problem);
  }
  if (borders.some((each, i) => i > 0 && each <= borders[i - 1]!))
    throw wrong(param, "the numbers must rise");
}

/** As long as no rows are known, an answer with a reward has no level where levels are shares. */
export function conditional(conditioning: Conditioning): Material {
  const { levels } = conditioning;
  const thresholds = "thresholds" in levels ? levels.thresholds : null;
  return {
    ...reading(conditioning, thresholds),
    informed: (rows) => informed(conditioning, rows),
  };
}

function informed(conditioning: Conditioning, rows: readonly DatasetRow[]): InformedMaterial {
  const { levels, words, place } = conditioning;
  const rewards = rows.flatMap(rewardsOf).sort((a, b) => a - b);
  const thresholds =
    "thresholds" in levels
      ? levels.thresholds
      : levels.quantiles.map((share) =>
          rewards.length > 0 ? quantileOfSorted(rewards, share) : share,
        );
  if (thresholds.some((each, i) => i > 0 && each <= thresholds[i - 1]!)) {
    const problem = `at these shares the rewards are ${thresholds.join(", ")}, which do not rise; name --thresholds instead`;
    throw wrong("--quantiles", problem);
  }
  const borders = rewards.length > 0 ? thresholds : [];
  const from = (level: number) =>
    borders[level - 1] === undefined ? "" : ` from ${borders[level - 1]!.toPrecision(4)}`;
  const facts = words.map(
    (word, level) => [`control word${from(level)}`, `${JSON.stringify(word)} (${place})`] as const,
  );
  return { ...reading(conditioning, thresholds), facts };
}

const reading = (conditioning: Conditioning, thresholds: readonly number[] | null): Material =>
  material<Example & ConversationExample>({
    read: (row, format) =>
      judged(row, conditioning.words.length, thresholds).map(({ answer, level }) => {
        const prompt = saying(conditioning.words[level]!, answer.prompt, conditioning.place);
        const shift = messagesIn(prompt) - messagesIn(answer.prompt);
        const trainedTurns = answer.trainedTurns?.map((turn) => turn + shift);
        const { tokens, learned } = encodeConversation(format, {
          ...answer,
          prompt,
          ...(trainedTurns && { trainedTurns }),
        });
        const share = learned.filter(Boolean).length;
        const lengths = [tokens.length];
        return {
          place: row.place,
          lengths,
          scoredTokens: share,
          share,
          answers: [],
          tokens,
          learned,
        };
      }),
    step: (examples, tokensPerRow) => conversationStep(examples, tokensPerRow),
  });

const messagesIn = (prompt: DatasetPrompt) => ("text" in prompt ? 0 : prompt.messages.length);

/** The prompt with the word at its head: a line before a text, a system message or the user's first line. */
export function saying(
  word: string,
  prompt: DatasetPrompt,
  place: Conditioning["place"],
): DatasetPrompt {
  if ("text" in prompt) return { text: `${word}\n${prompt.text}` };
  const { messages } = prompt;
  const at = place === "system" ? 0 : messages.findLastIndex(({ role }) => role === "user");
  const said = messages[at];
  if (place === "user") {
    if (!said) throw new UnusableRow("it has no message of a user to put the control word into");
  } else if (said?.role !== "system") {
    return { messages: [{ role: "system", content: word }, ...messages] };
  }
  const content = `${word}\n${said.content}`;
  return { messages: messages.with(at, { ...said, content }) };
}

/** Each answer of a row with its level: of those that are good or bad the highest or the lowest. */
function judged(
  row: DatasetRow,
  levels: number,
  thresholds: readonly number[] | null,
): { answer: SupervisedRow; level: number }[] {
  const of = (completion: string, level: number) => {
    const { prompt, place } = row;
    return { answer: { kind: "supervised" as const, prompt, completion, place }, level };
  };
  const levelOf = (reward: number | undefined) => {
    if (reward === undefined) throw new UnusableRow("it has no reward to be told by");
    if (!Number.isFinite(reward)) throw new UnusableRow(`a reward is ${reward}`);
    assert(thresholds, "levels that are shares of rewards are found before rows are read");
    return rewardLevel(reward, thresholds);
  };
  switch (row.kind) {
    case "supervised":
      return [{ answer: row, level: levelOf(row.reward) }];
    case "rated":
      return [of(row.completion, row.desirable ? levels - 1 : 0)];
    case "pair":
      return [of(row.chosen, levels - 1), of(row.rejected, 0)];
    case "list":
      return row.completions.map((text, i) => of(text, levelOf(row.rewards[i])));
    case "steps":
    case "prompt":
      assert(false, "kinds are checked before");
  }
}

function rewardsOf(row: DatasetRow): number[] {
  const rewards = row.kind === "list" ? row.rewards : row.kind === "supervised" ? [row.reward] : [];
  return rewards.filter((reward) => reward !== undefined && Number.isFinite(reward)) as number[]; // just filtered
}

const wrong = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });
