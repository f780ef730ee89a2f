/**
 * Answers requests: plans them, runs their strategy, logs what came of it, and only then says "done".
 * It knows nothing of HTTP and nothing of how a strategy searches.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { noWork } from "../engine/types.ts";
import type { Adapters } from "../registry/adapters.ts";
import type { Registry } from "../registry/registry.ts";
import { charging, type Policy } from "../registry/types.ts";
import type { RewardPrompt } from "../rewards/define.ts";
import type { Store } from "../store/store.ts";
import { Budget, type Overshoot } from "../strategies/budget.ts";
import type { Models, ScoredCandidate, Strategy, StrategyResult } from "../strategies/define.ts";
import { Holdout, type HoldoutReport } from "./holdout.ts";
import { createPlanner, type Plan } from "./plan.ts";
import { type Outcome, requestRecord } from "./record.ts";
import { createRecorder, type Recorder } from "./recorder.ts";
import { answerOf, type Spent } from "./report.ts";
import { rewardAsked, scoreTexts } from "./score.ts";
import type { AnswerEvent, AnswerRequest, Gateway } from "./types.ts";

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
    score: async (asked, prompt, texts, signal) =>
      scoreTexts(rewardAsked(registry, asked), { prompt, texts, signal }),
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
  const rewardPrompt = { messages: plan.rewardMessages, user: request.user };
  const holdout = plan.holdout && new Holdout(plan.holdout, rewardPrompt, request.signal);
  let result: StrategyResult | null = null;
  let outcome: Outcome = { kind: "cancelled", error: null }; // what a reader leaves that stops reading
  let heldOut: HoldoutReport | null = null;
  let overshoot: Overshoot = { tokens: 0, rewardCalls: 0, ms: 0 };
  let spent: Spent;
  try {
    const { policy, prompt, sampling } = plan;
    yield { type: "started", policy, promptTokens: prompt.length, seed: sampling.seed };
    const served = (each: Policy) => budget.policy(charging(each, work));
    const models: Models = {
      policy: (id) => served(registry.model(id).policy),
      reward: (asked) => budget.reward(registry.reward(asked)),
    };
    const counted = { policy: served(policy), reward: plan.reward && budget.reward(plan.reward) };
    const input = { ...plan, ...counted, rewardPrompt, models, budget };
    result = yield* search(request, input, (candidate) => {
      finished.push(candidate);
      holdout?.saw(candidate);
    });
    overshoot = budget.overshoot; // of the search: what is held out is outside
    await holdout?.settled();
    outcome = { kind: "completed", error: null };
  } catch (cause) {
    const kind = request.signal.aborted ? "cancelled" : "failed";
    outcome = { kind, error: cause instanceof Error ? cause.message : String(cause) };
    throw cause;
  } finally {
    holdout?.close();
    heldOut = holdout?.report(result?.chosen[0] ?? null) ?? null;
    const { tokens } = budget;
    const rewardCalls = budget.rewardCalls + (holdout?.calls ?? 0);
    const rewardTokens = budget.rewardTokens + (holdout?.tokens ?? 0);
    const ms = clock.elapsedMs() - startedMs;
    spent = { tokens, rewardCalls, rewardTokens, ms, work, overshoot };
    const found = result ?? unfinished(finished);
    const ending = { ...found, ...spent, holdout: heldOut, outcome, createdAt };
    if (request.store) await recorder.append(requestRecord(request, plan, ending));
  }
  yield { type: "done", answer: answerOf(plan, result, { spent, holdout: heldOut }) };
}

interface Searching {
  readonly rewardPrompt: RewardPrompt;
  readonly models: Models;
  readonly budget: Budget;
}

/** Runs the strategy, passes its events on, tells of what is finished, and returns its result. */
async function* search(
  { conversation, choices, signal }: AnswerRequest,
  { strategy, options, ...plan }: Omit<Plan, "budget"> & Searching,
  onFinished: (candidate: ScoredCandidate) => void,
): AsyncGenerator<AnswerEvent, StrategyResult, void> {
  const input = { ...plan, conversation, choices, signal };
  let result: StrategyResult | null = null;
  for await (const event of strategy.run(input, options)) {
    assert(result === null, `${strategy.name} went on after "done"`);
    if (event.type === "candidate-scored") onFinished(event.candidate);
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
