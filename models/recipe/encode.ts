/** Corpus examples → token ids, in the chat template that serving uses. */
import {
  bestGold,
  type CorpusPrompt,
  claimsOf,
  goldReward,
  type PreferenceGroup,
  type SftExample,
} from "../../src/corpus/index.ts";
import { type ChatFormat, encodeAnswers, spokenPart } from "../../src/text/chat-answers.ts";
import type { CorrectionExample, RewardGroup, SupervisedExample } from "../../src/train/batches.ts";

/** What a policy says itself. */
export function encodeExample(
  format: ChatFormat,
  { prompt, reply }: SftExample,
): SupervisedExample {
  const { tokens, completions } = encodeReplies(format, prompt, [reply.text]);
  return { prompt: tokens, completion: spokenPart(completions[0]!, format.tokenizer.endIds) };
}

/** Prompt and answers as the template renders the whole: the reward is read at the last token. */
export function encodeGroup(
  format: ChatFormat,
  { prompt, replies, pairs }: PreferenceGroup,
): RewardGroup {
  const { tokens, completions } = encodeReplies(format, prompt, replies);
  return { prompt: tokens, completions, pairs };
}

/** Every token of a claim: 1 until the claim departs from the truth, then −1. */
export function encodeClaims(format: ChatFormat, example: SftExample): CorrectionExample {
  const { prompt, completion, claimed } = readClaims(format, example);
  const marks = claimed.map(({ at, isRight, truth }) => ({ at, target: isRight ? 1 : -1, truth }));
  return { prompt, completion, marks };
}

/** Every token of the reply: 1 less the mistakes so far; the last: 1 less all that gold takes off, tone and what is missing too. */
export function encodeStanding(format: ChatFormat, example: SftExample): CorrectionExample {
  const { prompt, completion, claimed } = readClaims(format, example);
  const gold = goldReward(example.prompt, example.reply.text).total;
  const end = 1 - (bestGold[example.prompt.domain] - gold);
  let target = 1;
  const marks = completion.map((_, at) => {
    const claim = claimed.find((each) => each.at === at);
    if (claim?.isMistake) target -= 1;
    return { at, target: at < completion.length - 1 ? target : end, truth: claim?.truth ?? null };
  });
  return { prompt, completion, marks };
}

/** The tokens of all claims, in order, with the tokens that should stand there. */
function readClaims(format: ChatFormat, { prompt, reply }: SftExample) {
  const { tokenizer } = format;
  const { tokens, completions } = encodeReplies(format, prompt, [reply.text]);
  const completion = completions[0]!;
  const pieces = completion.map((id) => tokenizer.decode([id]));
  const ends = runningSum(pieces.map(({ length }) => length));
  const claimed = claimsOf(reply).flatMap(({ start, end, truth, wrongFrom }) => {
    const first = ends.findIndex((each) => each > start);
    const last = ends.findIndex((each) => each >= end);
    const space = pieces[first]!.startsWith(" ") ? " " : "";
    const right = tokenizer.encode(`${space}${truth}`);
    const wrongAt = wrongFrom === null ? null : ends.findIndex((each) => each > wrongFrom);
    return ends.slice(first, last + 1).map((_, k) => {
      const at = first + k;
      const isRight = wrongAt === null || at < wrongAt;
      const known = isRight ? completion[at]! : (right[k] ?? null);
      return { at, isRight, isMistake: at === wrongAt, truth: known };
    });
  });
  return { prompt: tokens, completion, claimed };
}

function runningSum(numbers: readonly number[]): number[] {
  let sum = 0;
  return numbers.map((number) => (sum += number));
}

function encodeReplies(format: ChatFormat, prompt: CorpusPrompt, replies: readonly string[]) {
  const { endIds } = format.tokenizer;
  const { prompt: tokens, turns } = encodeAnswers(format, prompt.messages, replies, endIds);
  return { tokens, completions: turns };
}
