/** Runs what was asked for: one answer for each prompt, side by side, as one stream of events. */
import { randomUUID } from "node:crypto";
import { GatewayError } from "../base/errors.ts";
import type { AnswerEvent, AnswerRequest, Gateway } from "../gateway/types.ts";
import type { HttpContext } from "./context.ts";
import type { Observation } from "./observe.ts";
import type { Ask } from "./openai/format.ts";

export interface Run {
  /** Ours, on the wire and in the log: "chatcmpl-…". */
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  readonly ask: Ask;
  readonly events: AsyncGenerator<PromptEvent, void, void>;
}

/** An event of the answer to prompt number `prompt`. */
export interface PromptEvent {
  readonly prompt: number;
  readonly event: AnswerEvent;
}

interface RunOptions {
  readonly route: string;
  readonly signal: AbortSignal;
  readonly observation: Observation;
}

/** Nothing runs before the first event is asked for. @throws GatewayError invalid_request */
export function startRun(ask: Ask, context: HttpContext, options: RunOptions): Run {
  const limit = context.config.requestCandidatesMax;
  if (ask.prompts.length * ask.choices > limit) {
    const problem = `asks for more than the ${limit} answers that one request may have`;
    throw new GatewayError("invalid_request", { param: "n", problem });
  }
  const id = ask.format.idPrefix + randomUUID().replaceAll("-", "");
  const requests = ask.prompts.map(({ conversation }, prompt) => {
    const { model, choices, sampling, alignment, store, user, metadata } = ask;
    const shared = { model, choices, sampling, alignment, store, user, metadata };
    const ownId = ask.prompts.length === 1 ? id : `${id}-${prompt}`;
    return { id: ownId, route: options.route, conversation, ...shared };
  });
  const events = observed(
    answerAll(context.gateway, requests, options.signal),
    options.observation,
  );
  return { id, created: Math.floor(context.clock.now() / 1_000), ask, events };
}

async function* observed(
  events: AsyncGenerator<PromptEvent, void, void>,
  observation: Observation,
) {
  for await (const tagged of events) {
    const { event } = tagged;
    if (event.type === "text-delta") observation.sawText();
    if (event.type === "done") {
      observation.sawText();
      observation.sawAnswer(event.answer);
    }
    yield tagged;
  }
}

/** The events of several answers in the order they come. Leaving early, or one failing, ends them all. */
async function* answerAll(
  gateway: Gateway,
  requests: readonly Omit<AnswerRequest, "signal">[],
  client: AbortSignal,
): AsyncGenerator<PromptEvent, void, void> {
  const together = new AbortController();
  const leave = () => together.abort(client.reason);
  if (client.aborted) leave();
  client.addEventListener("abort", leave);
  const answers = requests.map((request) =>
    gateway.answer({ ...request, signal: together.signal }),
  );
  const pull = async (prompt: number) => ({ prompt, step: await answers[prompt]!.next() });
  const waiting = new Map(answers.map((_, prompt) => [prompt, pull(prompt)]));
  try {
    while (waiting.size > 0) {
      const { prompt, step } = await Promise.race(waiting.values());
      waiting.delete(prompt);
      if (step.done) continue;
      yield { prompt, event: step.value };
      waiting.set(prompt, pull(prompt)); // last in line, so that no answer starves another
    }
  } finally {
    client.removeEventListener("abort", leave);
    if (waiting.size > 0) together.abort(new GatewayError("client_gone", {}));
    await Promise.allSettled(answers.map((answer) => answer.return()));
  }
}
