/** Corpus examples → token ids, in the chat template that serving uses. */
import type { PreferenceGroup, SftExample } from "../../src/corpus/index.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import type { RewardGroup, SupervisedExample } from "../../src/train/batches.ts";

type Messages = SftExample["prompt"]["messages"];

export function encodeExample(
  tokenizer: Tokenizer,
  { prompt, reply }: SftExample,
): SupervisedExample {
  return {
    prompt: tokenizer.encode(promptText(prompt.messages), { special: "parse" }),
    completion: tokenizer.encode(`${reply.text}<|im_end|>`, { special: "parse" }),
  };
}

/** Prompt and answers as the template renders the whole: the reward is read at the last token. */
export function encodeGroup(
  tokenizer: Tokenizer,
  { prompt, replies, pairs }: PreferenceGroup,
): RewardGroup {
  return {
    prompt: tokenizer.encode(promptText(prompt.messages), { special: "parse" }),
    completions: replies.map((text) =>
      tokenizer.encode(`${text}<|im_end|>\n`, { special: "parse" }),
    ),
    pairs,
  };
}

function promptText(messages: Messages): string {
  const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`);
  return `${turns.join("")}<|im_start|>assistant\n`;
}
