/**
 * A training on answers that the policy draws itself: each rollout is answers of the policy of now to the next prompts,
 * judged by the reward, from which one update or several are made. Sampling and training share the weights' memory.
 * Whatever moment it is killed at, the same command goes on, to the same weights.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { GatewayError } from "../../../base/errors.ts";
import { Turnstile } from "../../../engine/turnstile.ts";
import type { Runtime } from "../../../onnx/runtime/index.ts";
import type { LoadedPolicy } from "../../../registry/load.ts";
import type { Reward, RewardSpec } from "../../../rewards/define.ts";
import { type LoopEnd, runLoop } from "../../../train/loop.ts";
import type { Trainer, TrainingState } from "../../../train/trainer.ts";
import { loadState } from "../../../train/training-state.ts";
import { type Base, openBase } from "../base.ts";
import { asDivergence, asWriteFailure } from "../failures.ts";
import { type MetricsLog, openMetrics } from "../metrics.ts";
import { stepsOver } from "../schedule-examples.ts";
import type { TrainingListener } from "../train.ts";
import { type Manifest, openWorkFolder, type WorkFolder } from "../work-folder.ts";
import { type Demands, demandsOf, refuseContradictions } from "./demands.ts";
import { type Drawing, drawOnce, isScoring } from "./draw.ts";
import { worthOf } from "./evaluate.ts";
import { finish, type OnlineSummary } from "./finish.ts";
import { type LivePolicy, openLivePolicy } from "./live-policy.ts";
import { onlineManifest } from "./manifest.ts";
import { refuseTooLargeOnline } from "./memory.ts";
import type { OnlineOptions } from "./options.ts";
import {
  createTrainer,
  initialState,
  type Plan,
  type Prompts,
  planOf,
  promptsFor,
} from "./prepare.ts";
import { type PromptRewards, promptRewards, type ReadPrompt } from "./prompts.ts";
import { openReferences, type ReferenceModel } from "./reference-model.ts";
import { Rollouts } from "./rollouts.ts";
import { openRollouts, ROLLOUTS_FILE } from "./rollouts-file.ts";
import { TokenReader } from "./token-reader.ts";
import type { Update } from "./updates.ts";

/** What judges, with the policy in training among the served ones. */
export interface Judges {
  /** @throws GatewayError reward_not_found, invalid_request */
  reward(asked: string | RewardSpec | null): Reward;
  dispose(): Promise<void>;
}

/** The policy is disposed with them, and where they cannot be opened. */
export type OpenJudges = (own: {
  readonly runtime: Runtime;
  readonly turnstile: Turnstile;
  readonly loaded: LoadedPolicy;
}) => Promise<Judges>;

/** @throws GatewayError for whatever is wrong with options, prompts, reward, memory or disk; training_diverged */
export async function trainOnline(
  runtime: Runtime,
  openJudges: OpenJudges,
  { options, listener }: { options: OnlineOptions; listener: TrainingListener },
): Promise<OnlineSummary> {
  refuseContradictions(options);
  const base = await openBase(options.base, options.method);
  const prompts = await promptsFor(options, base);
  const plan = planOf(options, prompts);
  const demands = demandsOf(options);
  const neededBytes = await refuseTooLargeOnline(options, base.config, { demands, ...prompts });
  const weights = initialState(options, base, demands);
  const trainer = await createTrainer(runtime, { options, base, weights, steps: plan.steps });
  const parts = { runtime, options, listener, base, prompts, plan, demands, neededBytes };
  try {
    const turnstile = new Turnstile(systemClock);
    const live = await openLivePolicy(runtime, trainer, base, {
      ...options,
      id: basename(options.base),
      contextTokens: prompts.contextTokens,
      turnstile,
    });
    const judges = await openJudges({ runtime, turnstile, loaded: live });
    try {
      return await trainJudged(parts, { trainer, live, turnstile, weights }, judges);
    } finally {
      await judges.dispose();
    }
  } finally {
    trainer.dispose();
  }
}

async function trainJudged(
  parts: Parts,
  served: Pick<World, "trainer" | "live" | "turnstile" | "weights">,
  judges: Judges,
): Promise<OnlineSummary> {
  const { options, base, prompts, demands } = parts;
  const all = [...prompts.train, ...prompts.heldOut];
  const rewards = promptRewards(options.reward, (asked) => judges.reward(asked), all);
  refuseComparing(rewards, prompts.train, demands);
  const manifest = onlineManifest(options, base, { ...prompts, reward: rewards.revision });
  const work = await openWorkFolder(options.out, manifest);
  try {
    if (work.summary !== null) return JSON.parse(work.summary) as OnlineSummary; // written by finish
    return await trainIn(parts, { ...served, rewards, manifest, work });
  } catch (error) {
    throw asWriteFailure(error, options.out);
  } finally {
    await work.release();
  }
}

interface Parts {
  readonly runtime: Runtime;
  readonly options: OnlineOptions;
  readonly listener: TrainingListener;
  readonly base: Base;
  readonly prompts: Prompts;
  readonly plan: Plan;
  readonly demands: Demands;
  readonly neededBytes: number;
}

interface World {
  readonly trainer: Trainer;
  readonly live: LivePolicy;
  readonly rewards: PromptRewards;
  readonly turnstile: Turnstile;
  readonly weights: TrainingState;
  readonly manifest: Manifest;
  readonly work: WorkFolder;
}

/** A reward that only compares has no number for an answer alone. */
function refuseComparing(
  rewards: PromptRewards,
  [first]: readonly ReadPrompt[],
  { compares }: Demands,
): void {
  const reward = rewards.of(first!);
  if (!isScoring(reward) && !compares)
    throw new GatewayError("reward_compares_only", { reward: reward.id });
}

async function trainIn(parts: Parts, world: World): Promise<OnlineSummary> {
  const { options, listener, prompts, plan, neededBytes } = parts;
  const { trainer, work } = world;
  const saved = existsSync(work.state) ? await loadState(work.state) : null;
  if (saved) trainer.restore(saved);
  listener.onStart({
    steps: plan.steps,
    startStep: trainer.step,
    examples: prompts.train.length,
    heldOut: prompts.heldOut.length,
    dropped: prompts.dropped > 0 ? { "unusable prompts": prompts.dropped } : {},
    neededBytes,
  });
  const metrics = await openMetrics(options.out, {
    method: options.name,
    steps: plan.steps,
    from: trainer.step,
  });
  const references = await openReferences(parts, world);
  try {
    const end = await learn(parts, world, { references, metrics, notes: saved?.notes });
    return await finish(parts, world, { end, lines: metrics.lines() });
  } finally {
    await metrics.close();
    await references.dispose();
  }
}

async function learn(
  parts: Parts,
  world: World,
  {
    references,
    metrics,
    notes,
  }: {
    references: ReferenceModel;
    metrics: MetricsLog;
    notes: Readonly<Record<string, number>> | undefined;
  },
): Promise<LoopEnd> {
  const { options, listener, prompts, plan, demands } = parts;
  const { trainer, live, work } = world;
  const order = stepsOver(prompts.train, options);
  const file = await openRollouts(
    join(options.out, ROLLOUTS_FILE),
    (rollout) => order.at(rollout + 1),
    trainer.step,
  );
  const own = await ownReader(parts, world);
  const drawing = drawingOf(parts, world, references);
  const rollouts = new Rollouts({
    ...plan,
    options,
    estimator: demands.estimator,
    drawing,
    file,
    order,
    own,
    reference: references.reader,
    refresh: () => live.refresh(),
  });
  const evaluation = evaluationOf(parts, world, drawing);
  if (evaluation && metrics.isEmpty) await metrics.begin(await evaluation.measure());
  let last: (Update & { readonly metrics: Record<string, number> }) | null = null;
  try {
    return await runLoop(
      trainer,
      {
        steps: plan.steps,
        passes: async (step) => {
          last = await rollouts.update(step);
          return last.passes;
        },
        checkpointEvery: options.checkpointEvery,
        statePath: work.state,
        evaluation,
        async onStep(report) {
          const own = ofTheLearned(report.metrics, last!.counted, references.reader !== null);
          const told = { ...report, metrics: { ...own, ...last!.metrics } };
          await metrics.add(told);
          listener.onStep(told);
        },
      },
      notes,
    );
  } catch (error) {
    throw asDivergence(error, () => last?.examples ?? []);
  } finally {
    own?.dispose();
    await file.close();
  }
}

/**
 * The loss and its gradient are of all answers, the other numbers means over those that were computed. `negative_logp`
 * is the rollout's, of all its answers; without a reference `kl` is to nothing.
 */
function ofTheLearned(
  metrics: Readonly<Record<string, number>>,
  counted: number,
  hasReference: boolean,
): Record<string, number> {
  const isWhole = (name: string) => ["loss", "gradient_norm", "learning_rate"].includes(name);
  const isTold = (name: string) => name !== "negative_logp" && (hasReference || name !== "kl");
  return Object.fromEntries(
    Object.entries(metrics)
      .filter(([name]) => isTold(name))
      .map(([name, value]) => [name, isWhole(name) ? value : value / counted]),
  );
}

/** What the policy in training says of its answers: asked only where the engine does not say it. */
async function ownReader(
  { runtime, options, base, plan, demands }: Parts,
  { trainer }: World,
): Promise<TokenReader | null> {
  const weighs = demands.lacksRatio && plan.updatesPerRollout > 1;
  if (!demands.hasValues && !weighs && options.temperature === 1) return null;
  return TokenReader.open(runtime, {
    ...options,
    lora: options.lora ?? undefined,
    config: base.config,
    tensors: trainer.tensors(),
    hasValues: demands.hasValues,
  });
}

function drawingOf(
  { options, demands }: Parts,
  { live, rewards }: World,
  { policy: reference }: ReferenceModel,
): Drawing {
  const { k, temperature, maxTokens, seed, mixture: share } = options;
  const shared = { policy: live.policy, rewards, k, temperature, maxTokens, seed };
  const mixed = reference && ({ kind: "mixture", reference, share } as const);
  const comparison = mixed ?? { kind: demands.hasGreedy ? ("greedy" as const) : ("none" as const) };
  return { ...shared, comparison, clock: systemClock };
}

/** One answer to each held-out prompt, always with the same seeds. The loop looks for less, so its loss is less reward. */
function evaluationOf(
  { options, prompts: { heldOut }, plan: { steps } }: Parts,
  { live, work }: World,
  drawing: Drawing,
) {
  if (heldOut.length === 0) return undefined;
  const measure = async () => {
    live.refresh();
    const answers = await drawOnce(drawing, heldOut);
    const worth = worthOf(
      answers.map(({ text, tokens, reward, finishReason }, i) => ({
        prompt: heldOut[i]!,
        text,
        tokens: tokens.length,
        reward,
        isFinished: finishReason === "stop",
      })),
    );
    return { loss: -(worth["reward"] ?? worth["gold"] ?? 0), ...worth };
  };
  const every = options.evaluateEvery ?? Math.max(1, Math.ceil(steps / 10));
  return { measure, every, patience: options.patience, bestPath: work.best };
}
