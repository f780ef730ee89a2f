/** Makes a policy of its parts: token ids below, conversations and final text above. */
import { GatewayError } from "../base/errors.ts";
import type { Generator, SampledToken } from "../engine/types.ts";
import { encodeChat } from "../text/chat-prompt.ts";
import type { ChatTemplate } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { Transcript, type TranscriptOptions } from "./transcript.ts";
import type { Candidate, Conversation, Policy, SamplingDefaults } from "./types.ts";

export interface PolicyParts {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly generator: Generator;
  readonly tokenizer: Tokenizer;
  /** Null: the model continues text, but cannot chat. */
  readonly template: ChatTemplate | null;
  /** Ids that end an answer besides the tokenizer's: a checkpoint's `eos_token_id` may list several. */
  readonly endIds?: readonly number[];
  /** The model's own settings; what they leave open is OpenAI's default. */
  readonly defaults?: Partial<SamplingDefaults>;
}

/** OpenAI's defaults: the model's own distribution. */
export const openAiDefaults: SamplingDefaults = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
  topLogprobs: 0,
  stop: [],
};

export function createPolicy(parts: PolicyParts): Policy {
  const { id, created, generator, tokenizer } = parts;
  const { revision, contextTokens, vocabSize } = generator;
  const endTokens: ReadonlySet<number> = new Set([...tokenizer.endIds, ...(parts.endIds ?? [])]);
  const transcribe = (stop: readonly string[], onText: TranscriptOptions["onText"]) =>
    new Transcript({ tokenizer, stop, endTokens, onText });
  return {
    id,
    revision,
    contextTokens,
    created,
    vocabSize,
    defaults: { ...openAiDefaults, ...parts.defaults },
    tokenizer,
    endTokens,
    encode(conversation) {
      const prompt = encode(parts, conversation);
      if (prompt.length === 0) throw emptyPrompt(conversation);
      const limit = contextTokens - 1; // one token of answer must fit
      if (prompt.length <= limit) return prompt;
      throw new GatewayError("prompt_too_long", { tokens: prompt.length, limit });
    },
    encodeAnswer: (text, isFinished) => [
      ...tokenizer.encode(text),
      ...(isFinished ? [tokenizer.endIds[0]!] : []),
    ],
    tokenText(token) {
      const bytes = tokenizer.bytesOf(token);
      return { bytes, text: Buffer.from(bytes).toString("utf8") };
    },
    async generate(prompt, n, { stop, ...sampling }, control) {
      const { signal, work, onText, onCandidate, after = [], isEnough } = control;
      const transcripts = Array.from({ length: n }, (_, index) => {
        const told = (text: string, tokens: readonly SampledToken[]) =>
          onText?.(index, text, tokens);
        return transcribe(stop, told);
      });
      for (const transcript of transcripts) transcript.resume(after);
      const cut = new Set<number>();
      const candidates: Candidate[] = [];
      const earlier = after.map(({ id: token }) => token);
      await generator.sample(
        [...prompt, ...earlier],
        n,
        { ...sampling, endTokens, ...(after.length > 0 && { earlier }) },
        {
          signal,
          ...(work && { work }),
          onToken(index, token) {
            const transcript = transcripts[index]!;
            const ended = transcript.push(token);
            const enough = isEnough?.(index, transcript) ?? false;
            if (enough && !ended) cut.add(index);
            return enough || ended;
          },
          onCompletion({ index, finishReason }) {
            const reason = cut.has(index) ? "length" : finishReason;
            const candidate = transcripts[index]!.finish(index, reason);
            candidates[index] = candidate;
            onCandidate?.(candidate);
          },
        },
      );
      return candidates;
    },
    transcribe,
    grow: (prompt, tokensMax, control) => generator.grow(prompt, tokensMax, control),
    score: (prompt, completion, signal) => generator.score(prompt, completion, { signal }),
  };
}

function encode(parts: PolicyParts, conversation: Conversation): number[] {
  const { id, generator, tokenizer, template } = parts;
  switch (conversation.kind) {
    case "chat": {
      if (template === null) throw cannotChat(id);
      const options = { addGenerationPrompt: true };
      return encodeChat({ tokenizer, template }, conversation.messages, options);
    }
    case "text":
      return tokenizer.encode(conversation.text, { addSpecial: true });
    case "tokens": {
      const isKnown = (token: number) =>
        Number.isInteger(token) && token >= 0 && token < generator.vocabSize;
      const unknown = conversation.tokens.find((token) => !isKnown(token));
      if (unknown !== undefined) throw unknownToken(unknown, generator.vocabSize);
      return [...conversation.tokens];
    }
  }
}

function emptyPrompt({ kind }: Conversation): GatewayError {
  const problem = "it has no token; the model continues a text of at least one";
  return new GatewayError("invalid_request", {
    param: kind === "chat" ? "messages" : "prompt",
    problem,
  });
}

function cannotChat(id: string): GatewayError {
  const problem = `the model '${id}' has no chat template; use /v1/completions`;
  return new GatewayError("invalid_request", { param: "messages", problem });
}

function unknownToken(token: number, vocabSize: number): GatewayError {
  const problem = `${token} is not a token id; they are integers from 0 to ${vocabSize - 1}`;
  return new GatewayError("invalid_request", { param: "prompt", problem });
}
