/**
 * Answers requests: plans them, runs their strategy, logs what came of it, and only then says "done".
 * It knows nothing of HTTP and nothing of how a strategy searches.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import { noWork, type Work } from "../engine/types.ts";
import type { Adapters } from "../registry/adapters.ts";
import type { Registry } from "../registry/registry.ts";
import { type ChatMessage, charging, type Policy } from "../registry/types.ts";
import { isProcessReward, judgementOf, type Reward } from "../rewards/define.ts";
import { disagreementOf, warningsOf } from "../rewards/disagreement.ts";
import type { Store } from "../store/store.ts";
import { Budget } from "../strategies/budget.ts";
import type { Models, ScoredCandidate, Strategy, StrategyResult } from "../strategies/define.ts";
import { createPlanner, type Plan } from "./plan.ts";
import { type Outcome, requestRecord } from "./record.ts";
import { createRecorder, type Recorder } from "./recorder.ts";
import type { Answer, AnswerEvent, AnswerRequest, Gateway, RewardScores } from "./types.ts";

export interface GatewayParts {
  readonly registry: Registry;
  readonly adapters: Adapters;
  readonly strategies: readonly Strategy[];
  /** Null: nothing is logged. */
  readonly store: Pick<Store, "append"> | null;
  readonly clock: Clock;
}

/** @throws GatewayError when a preset names an unknown strategy, or options that do not fit it. */
export function createGateway({
  registry,
  adapters,
  strategies,
  store,
  clock,
}: GatewayParts): Gateway {
  const plan = createPlanner(registry, strategies);
  const recorder = createRecorder(store, clock);
  return {
    models: () => registry.models(),
    policy: (model) => registry.model(model).policy,
    async loadAdapter(name) {
      const { id } = await adapters.load(name);
      return registry.models().find((card) => card.id === id)!;
    },
    unloadAdapter: (name) => adapters.unload(name),
    answer: (request) => answer(request, { plan, recorder, clock, registry }),
    score: async (name, messages, texts, signal) =>
      score(rewardNamed(registry, name), { messages, texts, signal }),
    ready() {
      const problem = recorder.problem();
      return { ready: problem === null, problems: problem === null ? [] : [problem] };
    },
  };
}

interface AnswerParts {
  readonly plan: (request: AnswerRequest) => Plan;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly registry: Registry;
}

/**
 * A refused request throws before "started" and leaves no record. One that was started leaves exactly
 * one, whether it completed, failed or lost its reader; a log that does not take it fails the request.
 */
async function* answer(
  request: AnswerRequest,
  { plan: planFor, recorder, clock, registry }: AnswerParts,
): AsyncGenerator<AnswerEvent, void, void> {
  const createdAt = clock.now();
  const startedMs = clock.elapsedMs();
  const plan = planFor(request);
  const finished: ScoredCandidate[] = [];
  const work = noWork();
  const budget = new Budget(plan.budget, clock, startedMs);
  let result: StrategyResult | null = null;
  let outcome: Outcome = { kind: "cancelled", error: null }; // what a reader leaves that stops reading
  let ms = 0;
  try {
    const { policy, prompt, sampling } = plan;
    yield { type: "started", policy, promptTokens: prompt.length, seed: sampling.seed };
    const served = (each: Policy) => budget.policy(charging(each, work));
    const models: Models = {
      policy: (id) => served(registry.model(id).policy),
      reward: (asked) => budget.reward(registry.reward(asked)),
    };
    const counted = { policy: served(policy), reward: plan.reward && budget.reward(plan.reward) };
    result = yield* search(request, { ...plan, ...counted, models, budget }, finished);
    outcome = { kind: "completed", error: null };
  } catch (cause) {
    const kind = request.signal.aborted ? "cancelled" : "failed";
    outcome = { kind, error: cause instanceof Error ? cause.message : String(cause) };
    throw cause;
  } finally {
    ms = clock.elapsedMs() - startedMs;
    const found = result ?? unfinished(finished);
    const { tokens, rewardCalls } = budget;
    const spent = { tokens, rewardCalls };
    const record = requestRecord(request, plan, { ...found, ...spent, outcome, createdAt, ms });
    if (request.store) await recorder.append(record);
  }
  yield {
    type: "done",
    answer: answerOf(plan, result, { work, ms, budget }),
  };
}

interface Searching {
  readonly models: Models;
  readonly budget: Budget;
}

/** Runs the strategy, passes its events on, keeps what is finished, and returns its result. */
async function* search(
  { conversation, choices, signal, user }: AnswerRequest,
  { strategy, options, rewardMessages, ...plan }: Omit<Plan, "budget"> & Searching,
  finished: ScoredCandidate[],
): AsyncGenerator<AnswerEvent, StrategyResult, void> {
  const rewardPrompt = { messages: rewardMessages, user };
  const input = { ...plan, conversation, rewardPrompt, choices, signal };
  let result: StrategyResult | null = null;
  for await (const event of strategy.run(input, options)) {
    assert(result === null, `${strategy.name} went on after "done"`);
    if (event.type === "candidate-scored") finished.push(event.candidate);
    if (event.type === "done") result = event.result;
    else yield event;
  }
  assert(result !== null, `${strategy.name} ended without "done"`);
  return result;
}

/** What a search that ended early leaves to log: the candidates it had finished, none of them chosen. */
function unfinished(finished: readonly ScoredCandidate[]) {
  return { candidates: finished.toSorted((a, b) => a.index - b.index), chosen: [] };
}

function answerOf(
  { policy, strategy, reward, prompt, sampling }: Plan,
  { candidates, chosen, kl, stopped, warnings, details }: StrategyResult,
  { work, ms, budget }: { work: Work; ms: number; budget: Budget },
): Answer {
  const choices = chosen.map((index) => candidates[index]!);
  const parts = candidates.map(({ rewardParts = {} }) => rewardParts);
  const disagreement = disagreementOf(parts, chosen[0]!);
  const { tokens, rewardCalls, rewardTokens } = budget;
  return {
    choices,
    promptTokens: prompt.length,
    completionTokens: tokens,
    report: {
      strategy: strategy.name,
      n: candidates.length,
      chosen: chosen[0]!,
      reward: choices[0]!.reward,
      candidates,
      kl,
      ...(disagreement && { disagreement }),
      cost: { tokens, rewardCalls, rewardTokens, ms },
      stopped,
      warnings: disagreement === null ? warnings : [...warnings, ...warningsOf(disagreement)],
      ...(details && { details }),
      work,
      revision: { policy: policy.revision, reward: reward?.revision ?? null },
      seed: sampling.seed,
    },
  };
}

function rewardNamed(registry: Registry, name: string | null): Reward {
  if (name !== null) return registry.reward(name);
  if (registry.defaultReward) return registry.defaultReward;
  const problem = "this server has no default reward; name one";
  throw new GatewayError("invalid_request", { param: "reward", problem });
}

interface ScoreInput {
  readonly messages: readonly ChatMessage[];
  readonly texts: readonly string[];
  readonly signal: AbortSignal;
}

async function score(
  reward: Reward,
  { messages, texts, signal }: ScoreInput,
): Promise<RewardScores> {
  const { id, revision } = reward;
  const judged = (values: readonly number[]) =>
    values.map((value) => (Number.isFinite(value) ? value : null));
  if (isProcessReward(reward)) {
    const session = reward.open({ messages }, signal);
    try {
      const all = await Promise.all(texts.map((text) => session.scoreSteps(text)));
      const scores = judged(all.map(({ reward: value }) => value));
      return { reward: id, revision, scores, steps: all.map(({ steps }) => steps) };
    } finally {
      session.close();
    }
  }
  const session = reward.open({ messages }, signal);
  try {
    const all = await Promise.all(texts.map((text) => judgementOf(session, text)));
    const scores = judged(all.map(({ reward: value }) => value));
    const parts = all.map((judgement) => judgement.parts);
    const hasParts = parts.some((names) => Object.keys(names).length > 0);
    return { reward: id, revision, scores, ...(hasParts && { parts }) };
  } finally {
    session.close();
  }
}
