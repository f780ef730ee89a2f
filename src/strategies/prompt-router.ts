/**
 * Prompt router: chooses among prompt templates before it answers. Each template, filled with the prompt, gets one
 * greedy draft of at most `probe` tokens, which the reward judges as an answer to the prompt as it was asked (never to
 * the template's words); the template of the highest reward answers, by plain sampling. Ties: the earlier template.
 * A reward model of (prompt, template) pairs, as the source trains one offline, needs no draft; drafts stand in for it
 * with any reward, cost tokens, and see no further than their length.
 * Cost: one draft and one reward evaluation for each template, side by side, then one generation and evaluation for each
 * choice; with one template no draft. Drafts are the first candidates of the result, in the templates' order; they are
 * never the answer.
 * Streams the answer as it is drawn, once the template is chosen. Details: `template`, its place; `predicted`, its
 * draft's reward. KL: none is known; the answer follows another prompt.
 * A draft that is not finished is judged as a prefix: the reward must accept them.
 * Source: Sun et al., arXiv:2309.06553 (Prompt-OIRL: query-dependent choice of a prompt by a predicted reward).
 */
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { splitSeed } from "../base/random.ts";
import type { Conversation, Policy } from "../registry/types.ts";
import type { CandidateSource, ScoredCandidate, StrategyInput, StrategyResult } from "./define.ts";
import { defineStrategy } from "./define.ts";
import { demandPrefixes } from "./demands.ts";
import { type DrawControl, drawAndScore } from "./draw.ts";
import { bestFirst } from "./ranking.ts";
import { allOrNothing, type Emit, searchEvents } from "./search.ts";

interface Options {
  readonly templates: readonly string[];
  readonly probe: number;
}

export const promptRouter = defineStrategy({
  name: "prompt-router",
  description:
    "Chooses the prompt template whose short draft has the highest reward, then answers with it.",
  needsReward: true,
  options: Type.Object({
    templates: Type.Array(Type.String({ pattern: "\\{prompt\\}" }), {
      minItems: 1,
      maxItems: 16,
      default: [
        "{prompt}",
        "{prompt}\n\nThink step by step, then give the answer.",
        "{prompt}\n\nAnswer briefly.",
      ],
      description: "each holds {prompt}, where the last user message (or the text) goes",
    }),
    probe: Type.Integer({
      minimum: 1,
      maximum: 1024,
      default: 32,
      description: "tokens of a draft at most",
    }),
  }),
  async *run(input, options) {
    if (options.templates.length > 1) demandPrefixes("prompt-router", input.reward);
    yield* searchEvents(input, (searched, emit) => search(searched, options, emit));
  },
});

async function search(
  input: StrategyInput,
  { templates, probe }: Options,
  emit: Emit,
): Promise<StrategyResult> {
  const { reward, rewardPrompt, signal, budget, choices } = input;
  signal.throwIfAborted();
  const routes = templates.map((template) => routeOf(input, template));
  const session = reward?.open(rewardPrompt, signal) ?? null;
  const shared = { signal, emit, session };
  try {
    const drafts = routes.length > 1 ? await draft(routes, probe, shared) : [];
    const template = drafts.length > 0 ? bestFirst(drafts)[0]!.index : 0;
    const { input: chosen, source } = routes[template]!;
    const answers = await drawAndScore(chosen, choices, {
      ...shared,
      source,
      from: drafts.length,
      onText: (index, text, tokens) =>
        emit({ type: "text-delta", choice: index - drafts.length, text, tokens, candidate: index }),
    });
    return {
      candidates: [...drafts, ...answers],
      chosen: answers.map(({ index }) => index),
      kl: { bound: null, estimate: null },
      stopped: budget.spent ?? "complete",
      warnings: [],
      details: { template, ...(drafts.length > 0 && { predicted: drafts[template]!.reward! }) },
    };
  } finally {
    session?.close();
  }
}

interface Route {
  readonly input: StrategyInput;
  readonly source: CandidateSource | undefined;
}

/** One greedy draft a template, in order, all at once. */
async function draft(
  routes: readonly Route[],
  probe: number,
  shared: Pick<DrawControl, "signal" | "emit" | "session">,
): Promise<ScoredCandidate[]> {
  const drafts = await allOrNothing(shared.signal, (signal) =>
    routes.map(({ input, source }, template) => {
      const { sampling } = input;
      const greedy = { temperature: 0, seed: splitSeed(sampling.seed, template) };
      const maxTokens = Math.min(probe, sampling.maxTokens);
      return drawAndScore({ ...input, sampling: { ...sampling, ...greedy, maxTokens } }, 1, {
        ...shared,
        signal,
        source,
        from: template,
        onText: (index, text) => shared.emit({ type: "candidate-delta", index, text }),
      });
    }),
  );
  return drafts.flat();
}

/** @throws GatewayError prompt_too_long */
function routeOf(input: StrategyInput, template: string): Route {
  const { policy, conversation, sampling } = input;
  const filled = fill(conversation, template, policy);
  const prompt = policy.encode(filled);
  const maxTokens = Math.min(sampling.maxTokens, policy.contextTokens - prompt.length);
  const { id: model, revision, tokenText } = policy;
  const isOwn = template === "{prompt}";
  return {
    input: { ...input, prompt, conversation: filled, sampling: { ...sampling, maxTokens } },
    source: isOwn ? undefined : { model, revision, prompt, tokenText },
  };
}

/** The conversation with its last user message in the template's words. @throws GatewayError invalid_request */
function fill(conversation: Conversation, template: string, policy: Policy): Conversation {
  const filled = (text: string) => template.replaceAll("{prompt}", () => text);
  switch (conversation.kind) {
    case "text":
      return { kind: "text", text: filled(conversation.text) };
    case "chat": {
      const { messages } = conversation;
      const last = messages.findLastIndex(({ role }) => role === "user");
      return {
        kind: "chat",
        messages: messages.map((message, at) =>
          at === last ? { ...message, content: filled(message.content) } : message,
        ),
      };
    }
    case "tokens": {
      if (template === "{prompt}") return conversation;
      const problem = `a template cannot hold token ids of '${policy.id}'; send the prompt as text or messages`;
      throw new GatewayError("invalid_request", { param: "prompt", problem });
    }
  }
}
