/** Who judges: a policy of this server, or a model behind an OpenAI-compatible `/v1/chat/completions`. */
import { Type } from "typebox";
import { assert } from "../../base/assert.ts";
import type { TemplateMessage } from "../../text/chat-template.ts";
import type { RewardWorld, Speaker } from "../define.ts";
import { createCallQueue } from "../remote/call-queue.ts";
import { replyReader, tooManyWait, WrongReply } from "../remote/protocol.ts";
import { createSource } from "../remote/source.ts";
import type { JudgeSettings } from "./options.ts";

export interface Voice {
  /** As errors name it. */
  readonly name: string;
  /** What its revision depends on. */
  readonly identity: readonly unknown[];
  /** What it says to a conversation. */
  ask(messages: readonly TemplateMessage[], seed: number, signal: AbortSignal): Promise<Said>;
  /** Mean log π per token of an answer with its end, nats; null where no likelihoods are to be had. */
  readonly meanLogprob:
    | ((
        messages: readonly TemplateMessage[],
        answer: string,
        signal: AbortSignal,
      ) => Promise<number>)
    | null;
}

export interface Said {
  readonly text: string;
  /** It wrote; null where a server does not say. */
  readonly tokens: number | null;
}

/** @throws GatewayError model_not_found, config_invalid, invalid_request */
export function createVoice(id: string, settings: JudgeSettings, world: RewardWorld): Voice {
  const { policy, url } = settings;
  if (policy !== undefined) return localVoice(world.speaker(policy), settings);
  assert(url !== undefined, "a judge has a policy or an address");
  return remoteVoice(id, { ...settings, url }, world);
}

function localVoice(
  speaker: Speaker,
  { max_tokens: maxTokens, temperature }: JudgeSettings,
): Voice {
  return {
    name: `'${speaker.id}'`,
    identity: [speaker.id, speaker.revision],
    ask: (messages, seed, signal) =>
      speaker.answer(messages, { maxTokens, temperature, seed }, signal),
    async meanLogprob(messages, answer, signal) {
      const logprobs = await speaker.logprobs(messages, answer, { isFinished: true, signal });
      return logprobs.reduce((sum, logprob) => sum + logprob, 0) / logprobs.length;
    },
  };
}

/**
 * POST {model?, messages, max_tokens, temperature, seed} → {choices: [{message: {content: text | null}}], usage?}
 * Source: OpenAI's openapi.json, CreateChatCompletionRequest and -Response.
 */
const readReply = replyReader(
  Type.Object({
    choices: Type.Array(
      Type.Object({
        message: Type.Object({ content: Type.Optional(Type.Union([Type.String(), Type.Null()])) }),
      }),
      { minItems: 1 },
    ),
    usage: Type.Optional(
      Type.Union([Type.Object({ completion_tokens: Type.Optional(Type.Integer()) }), Type.Null()]),
    ),
  }),
);

interface Question {
  readonly messages: readonly TemplateMessage[];
  readonly seed: number;
}

function remoteVoice(
  id: string,
  settings: JudgeSettings & { readonly url: string },
  { clock }: RewardWorld,
): Voice {
  const { url, model, extra, max_tokens, temperature, waiting_max: waitingMax } = settings;
  const source = createSource(id, settings, clock);
  const bodyOf = ({ messages, seed }: Question) => {
    const ours = { model, messages, max_tokens, temperature, seed };
    const whole = Object.entries({ ...ours, ...extra });
    return Object.fromEntries(whole.filter(([, value]) => value !== null)); // JSON drops undefined ones
  };
  const queue = createCallQueue<Question, Said>({
    concurrentMax: settings.max_concurrent,
    batchMax: 1,
    waitingMax,
    keyOf: () => "",
    call: async ([question], signal) => [
      saidIn(await source.post(bodyOf(question!), signal), (problem) =>
        source.failure(problem, "Check that url is the address of a /v1/chat/completions."),
      ),
    ],
    full: () => tooManyWait(source, waitingMax),
  });
  return {
    name: model === undefined ? source.url : `'${model}' at ${source.url}`,
    identity: [url, model, extra],
    ask: (messages, seed, signal) => queue.ask({ messages, seed }, signal),
    meanLogprob: null,
  };
}

/** A reply without text, such as a refusal, is an unclear one. */
function saidIn(reply: unknown, failure: (problem: string) => Error): Said {
  try {
    const { choices, usage } = readReply(reply);
    return { text: choices[0]!.message.content ?? "", tokens: usage?.completion_tokens ?? null };
  } catch (error) {
    if (error instanceof WrongReply) throw failure(`its reply ${error.message}`);
    throw error;
  }
}
