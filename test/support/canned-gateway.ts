/**
 * A gateway over fixed texts: the real interface, no model. Its alphabet is bytes: token id = byte, 256
 * ends; a text beyond a thousand characters counts as one token. The reward of a text is its length.
 * Speed is given by `step`, awaited before each event.
 */
import { GatewayError } from "../../src/base/errors.ts";
import { spreadOfValues } from "../../src/base/statistics.ts";
import type { SampledToken } from "../../src/engine/types.ts";
import type { AnswerEvent, AnswerRequest, Gateway, ModelCard } from "../../src/gateway/types.ts";
import { openAiDefaults } from "../../src/registry/policy.ts";
import type { Policy } from "../../src/registry/types.ts";
import type { RewardPrompt } from "../../src/rewards/define.ts";
import type { ScoredCandidate } from "../../src/strategies/define.ts";
import { chatTokenizer } from "./tabular-policy.ts";

const endToken = 256;
const revision = "canned-1";
const encoder = new TextEncoder();

export interface CannedOptions {
  readonly texts?: readonly string[];
  /** Awaited before every event; a test holds it back to control the speed. */
  readonly step?: (request: AnswerRequest) => Promise<void>;
  /** Thrown as soon as an answer is asked for. */
  readonly refusal?: Error;
  /** Thrown in place of the `done` event. */
  readonly breakage?: Error;
  readonly readiness?: { ready: boolean; problems: readonly string[] };
}

export interface CannedGateway extends Gateway {
  /** Every request, in order. */
  readonly seen: readonly AnswerRequest[];
  /** Every request for scores. */
  readonly scored: readonly Scored[];
  /** Ids of the answers whose signal aborted before they were complete. */
  readonly aborted: readonly string[];
}

interface Scored {
  readonly asked: Parameters<Gateway["score"]>[0];
  readonly prompt: RewardPrompt;
}

const card = (id: string, kind: ModelCard["kind"]): ModelCard => ({
  id,
  created: 1_700_000_000,
  kind,
  revision,
  contextTokens: kind === "reward" ? null : 512,
});
const cards = [
  card("tiny-chat", "policy"),
  card("tiny-chat/best-of-3", "preset"),
  card("tiny-reward", "reward"),
];

export function createCannedGateway(options: CannedOptions = {}): CannedGateway {
  const { texts = ["Hello there, friend.", "Hi.", "Good day to you."] } = options;
  const seen: AnswerRequest[] = [];
  const scored: Scored[] = [];
  const aborted: string[] = [];
  const known = cards.filter(({ kind }) => kind !== "reward").map(({ id }) => id);

  const policyOf = (model: string): Policy => {
    if (!known.includes(model)) throw new GatewayError("model_not_found", { model, known });
    return bytePolicy;
  };

  async function* answer(request: AnswerRequest): AsyncGenerator<AnswerEvent, void, void> {
    seen.push(request);
    const { signal, sampling, choices, model } = request;
    let isComplete = false;
    const noteAbort = () => {
      if (!isComplete) aborted.push(request.id);
    };
    signal.addEventListener("abort", noteAbort);
    const abort = rejectOnAbort(signal);
    const step = async () => {
      await Promise.race([options.step?.(request), abort]);
      signal.throwIfAborted();
    };
    try {
      if (options.refusal) throw options.refusal;
      const policy = policyOf(model);
      const { strategy, n } = searchOf(request);
      const promptTokens = policy.encode(request.conversation).length;
      yield { type: "started", policy, promptTokens, seed: sampling.seed ?? 7 };
      const candidates = Array.from({ length: n }, (_, i) =>
        candidateOf(i, texts[i % texts.length]!, request, strategy !== "sample"),
      );
      if (strategy === "sample") {
        const pieces = candidates.map(({ text }) => text.match(/\S*\s*/g)!.filter(Boolean));
        for (let i = 0; pieces.some((p) => i < p.length); i++) {
          for (const [choice, words] of pieces.entries()) {
            if (words[i] === undefined) continue;
            await step();
            const tokens = tokensOf(words[i]!, sampling.topLogprobs ?? 0);
            yield { type: "text-delta", choice, text: words[i]!, tokens };
          }
        }
      } else {
        for (const candidate of candidates) {
          const { index, text, reward } = candidate;
          await step();
          yield { type: "candidate-delta", index, text };
          await step();
          yield { type: "candidate-scored", index, reward, candidate };
        }
      }
      await step();
      if (options.breakage) throw options.breakage;
      const ranked =
        strategy === "sample" ? candidates : candidates.toSorted((a, b) => b.reward! - a.reward!);
      const chosen = ranked.slice(0, choices);
      const completionTokens = candidates.reduce((sum, { tokens }) => sum + tokens.length, 0);
      isComplete = true;
      const spread = spreadOfValues(candidates.flatMap(({ reward }) => reward ?? []));
      yield {
        type: "done",
        answer: {
          choices: chosen,
          promptTokens,
          completionTokens,
          report: {
            strategy,
            n,
            chosen: chosen[0]!.index,
            reward: chosen[0]!.reward,
            rewardId: strategy === "sample" ? null : "tiny-reward",
            ...(spread && { rewards: spread }),
            candidates,
            distinct: { texts: new Set(candidates.map(({ text }) => text)).size, of: n },
            lengthCorrelation: null,
            kl: { bound: Math.log(n) - (n - 1) / n, estimate: null },
            stopped: "complete",
            warnings: [],
            warningKinds: [],
            overshoot: { tokens: 0, rewardCalls: 0, ms: 0 },
            cost: {
              tokens: completionTokens,
              rewardCalls: strategy === "sample" ? 0 : n,
              rewardTokens: 0,
              ms: 1,
            },
            work: { promptTokensFound: 0, tokensRun: promptTokens + completionTokens, modelMs: 1 },
            revision: { policy: revision, reward: strategy === "sample" ? null : revision },
            seed: sampling.seed ?? 7,
          },
        },
      };
    } finally {
      signal.removeEventListener("abort", noteAbort);
    }
  }

  return {
    seen,
    scored,
    aborted,
    models: () => cards,
    async loadAdapter(adapter) {
      throw new GatewayError("adapter_not_found", { adapter, known: [] });
    },
    async unloadAdapter(adapter) {
      throw new GatewayError("adapter_not_found", { adapter, known: [] });
    },
    policy: policyOf,
    answer,
    async score(asked, prompt, given) {
      scored.push({ asked, prompt });
      const reward = asked ?? "tiny-reward";
      return {
        reward: typeof reward === "string" ? reward : reward.kind,
        revision,
        scores: given.map((t) => t.length || null),
      };
    },
    ready: () => options.readiness ?? { ready: true, problems: [] },
  };
}

function searchOf({ alignment, model, choices }: AnswerRequest) {
  if (!alignment && model === "tiny-chat") return { strategy: "sample", n: choices };
  const { strategy, options } = alignment ?? { strategy: "best-of-n", options: {} };
  const known = ["sample", "best-of-n"];
  if (!known.includes(strategy)) throw new GatewayError("strategy_not_found", { strategy, known });
  const { n = 3, ...unknown }: Readonly<Record<string, unknown>> = options;
  for (const name of Object.keys(unknown)) {
    throw new GatewayError("invalid_request", {
      param: `alignment.${name}`,
      problem: "is not known",
    });
  }
  if (typeof n !== "number" || !Number.isInteger(n) || n < choices || n > 64) {
    const problem = `must be from ${choices} to 64`;
    throw new GatewayError("invalid_request", { param: "alignment.n", problem });
  }
  return { strategy, n };
}

function candidateOf(
  index: number,
  text: string,
  request: AnswerRequest,
  scored: boolean,
): ScoredCandidate {
  const { maxTokens, topLogprobs = 0 } = request.sampling;
  const all = [...tokensOf(text, topLogprobs), token(endToken, topLogprobs)];
  const isCut = maxTokens !== null && all.length > maxTokens;
  const tokens = isCut ? all.slice(0, maxTokens) : all;
  const kept = isCut ? text.slice(0, maxTokens) : text;
  return {
    index,
    text: kept,
    tokens,
    logprob: tokens.reduce((sum, { logprob }) => sum + logprob, 0),
    finishReason: isCut ? "length" : "stop",
    reward: scored ? kept.length : null,
    rewardProblem: null,
    cut: null,
  };
}

const tokensOf = (text: string, top: number) =>
  [...encoder.encode(text.length > 1_000 ? "x" : text)].map((id) => token(id, top));

const token = (id: number, top: number): SampledToken => ({
  id,
  logprob: -(id % 7) / 8,
  top: Array.from({ length: top }, (_, i) => ({ id: (id + i) % endToken, logprob: -(i + 1) / 8 })),
});

const bytePolicy: Policy = {
  id: "tiny-chat",
  revision,
  contextTokens: 512,
  created: 1_700_000_000,
  vocabSize: endToken + 1,
  defaults: openAiDefaults,
  tokenizer: chatTokenizer(),
  endTokens: new Set([endToken]),
  encode(conversation) {
    if (conversation.kind === "tokens") return [...conversation.tokens];
    const text =
      conversation.kind === "text"
        ? conversation.text
        : conversation.messages.map(({ role, content }) => `${role}: ${content}\n`).join("");
    return [...encoder.encode(text)];
  },
  encodeAnswer: (text, isFinished) => [...encoder.encode(text), ...(isFinished ? [endToken] : [])],
  tokenText(id) {
    const bytes = id === endToken ? new Uint8Array() : Uint8Array.of(id);
    return { text: id === endToken ? "<end>" : new TextDecoder().decode(bytes), bytes };
  },
  generate: () => Promise.reject(new Error("the HTTP layer never generates by itself")),
  transcribe: () => {
    throw new Error("the HTTP layer never transcribes by itself");
  },
  grow: () => Promise.reject(new Error("the HTTP layer never grows by itself")),
  score: () => Promise.reject(new Error("the HTTP layer never scores by itself")),
};

/** A promise that only ever rejects; handled, since not every answer waits for it. */
function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const aborted = new Promise<never>((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener("abort", () => reject(signal.reason as Error));
  });
  aborted.catch(() => {});
  return aborted;
}
