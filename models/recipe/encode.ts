/** Corpus examples → token ids, in the chat template that serving uses. */
import type { PreferencePair, SftExample } from "../../src/corpus/index.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import type { RewardPairExample, SupervisedExample } from "../../src/train/batches.ts";

type Messages = SftExample["prompt"]["messages"];

export function encodeExample(tokenizer: Tokenizer, { prompt, reply }: SftExample): SupervisedExample {
  return {
    prompt: tokenizer.encode(promptText(prompt.messages), { special: "parse" }),
    completion: tokenizer.encode(`${reply.text}<|im_end|>`, { special: "parse" }),
  };
}

/** Whole conversations, as the template renders them: the reward is read at their last token. */
export function encodePair(tokenizer: Tokenizer, { prompt, chosen, rejected }: PreferencePair): RewardPairExample {
  const whole = (text: string) =>
    tokenizer.encode(`${promptText(prompt.messages)}${text}<|im_end|>\n`, { special: "parse" });
  return { chosen: whole(chosen), rejected: whole(rejected) };
}

function promptText(messages: Messages): string {
  const turns = messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`);
  return `${turns.join("")}<|im_start|>assistant\n`;
}
