/**
 * A training on answers that the policy draws itself: each rollout is answers of the policy of now to the next prompts,
 * judged by the reward, from which one update or several are made. Sampling and training share the weights' memory.
 * Whatever moment it is killed at, the same command goes on, to the same weights.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { systemClock } from "../../../base/clock.ts";
import { GatewayError } from "../../../base/errors.ts";
import { createRandom } from "../../../base/random.ts";
import { Turnstile } from "../../../engine/turnstile.ts";
import type { Runtime } from "../../../onnx/runtime/index.ts";
import type { LoadedPolicy } from "../../../registry/load.ts";
import type { Reward, RewardSpec } from "../../../rewards/define.ts";
import { type LoopEnd, runLoop } from "../../../train/loop.ts";
import { initialLora } from "../../../train/lora.ts";
import { Trainer, type TrainingState } from "../../../train/trainer.ts";
import { loadState, weightsOf } from "../../../train/training-state.ts";
import { loadPrompts, splitHeldOut } from "../../batch/prompts.ts";
import { type Base, openBase } from "../base.ts";
import { asDivergence, asWriteFailure } from "../failures.ts";
import { type MetricsLog, openMetrics } from "../metrics.ts";
import { optimizerOf } from "../optimizer.ts";
import type { MetricsLine } from "../report.ts";
import { stepsOver } from "../schedule-examples.ts";
import type { TrainingListener, TrainingSummary } from "../train.ts";
import { openWorkFolder, type WorkFolder } from "../work-folder.ts";
import { writeTrained } from "../write-trained.ts";
import { type Demands, demandsOf, refuseContradictions } from "./demands.ts";
import { type Drawing, drawOnce, isScoring } from "./draw.ts";
import { worthOf } from "./evaluate.ts";
import { type LivePolicy, openLivePolicy } from "./live-policy.ts";
import { onlineManifest } from "./manifest.ts";
import { refuseTooLargeOnline } from "./memory.ts";
import type { OnlineOptions } from "./options.ts";
import { type PromptRewards, promptRewards, type ReadPrompt, readPrompts } from "./prompts.ts";
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

/** The policy is disposed with them. */
export type OpenJudges = (own: {
  readonly runtime: Runtime;
  readonly turnstile: Turnstile;
  readonly loaded: LoadedPolicy;
}) => Promise<Judges>;

export interface OnlineSummary extends TrainingSummary {
  /** Of the held-out prompts before the first step and at the weights that were written; null: none were evaluated. */
  readonly heldOut: Readonly<Record<"before" | "after", Readonly<Record<string, number>>>> | null;
}

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
  const turnstile = new Turnstile(systemClock);
  const live = await openLivePolicy(runtime, trainer, base, {
    ...options,
    id: basename(options.base),
    contextTokens: prompts.contextTokens,
    turnstile,
  });
  const judges = await openJudges({ runtime, turnstile, loaded: live });
  const parts = { runtime, options, listener, base, prompts, plan, demands, neededBytes };
  try {
    const all = [...prompts.train, ...prompts.heldOut];
    const rewards = promptRewards(options.reward, (asked) => judges.reward(asked), all);
    refuseComparing(rewards, prompts.train, demands);
    const manifest = onlineManifest(options, base, { ...prompts, reward: rewards.revision });
    const work = await openWorkFolder(options.out, manifest);
    try {
      if (work.summary !== null) return JSON.parse(work.summary) as OnlineSummary; // written by finish
      const world = { trainer, live, rewards, turnstile, weights, manifest, work };
      return await trainIn(parts, world);
    } catch (error) {
      throw asWriteFailure(error, options.out);
    } finally {
      await work.release();
    }
  } finally {
    await judges.dispose();
    trainer.dispose();
  }
}

interface Prompts {
  readonly train: readonly ReadPrompt[];
  readonly heldOut: readonly ReadPrompt[];
  readonly contextTokens: number;
  readonly dropped: number;
}

interface Plan {
  readonly steps: number;
  readonly updatesPerRollout: number;
  readonly minibatch: number;
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
  readonly manifest: ReturnType<typeof onlineManifest>;
  readonly work: WorkFolder;
}

async function promptsFor(options: OnlineOptions, base: Base): Promise<Prompts> {
  const { prompts: asked, heldOut: share, evaluate: count } = options;
  const loaded = await loadPrompts(asked);
  const contextTokens = Math.min(options.contextTokens ?? Infinity, base.config.contextTokens);
  const split = splitHeldOut(loaded, { ...asked, share, count });
  const how = { format: base.format, contextTokens };
  const train = readPrompts({ ...loaded, prompts: split.prompts }, how, asked.badRows);
  const heldOut =
    split.heldOut.length === 0
      ? { prompts: [], dropped: 0 }
      : readPrompts({ prompts: split.heldOut, repeated: 0, dropped: 0 }, how, asked.badRows);
  const dropped = train.dropped + heldOut.dropped;
  if (train.prompts.length === 0) {
    const problem = "all of its prompts are held out";
    const remedy = "Lower --held-out, or give it more.";
    throw new GatewayError("dataset_unusable", { file: asked.source, problem, remedy });
  }
  return { train: train.prompts, heldOut: heldOut.prompts, contextTokens, dropped };
}

function planOf(options: OnlineOptions, { train }: Prompts): Plan {
  const rollout = Math.min(options.batch, train.length);
  const minibatch = Math.min(options.minibatch ?? rollout, rollout);
  const updatesPerRollout = options.updatesPerRollout ?? Math.ceil(rollout / minibatch);
  const rollouts = Math.ceil((options.epochs * train.length) / options.batch);
  return {
    minibatch,
    updatesPerRollout,
    steps: options.steps ?? Math.max(1, rollouts) * updatesPerRollout,
  };
}

/** A value head begins with zeros: it expects nothing. */
function initialState(
  { lora, seed }: OnlineOptions,
  base: Base,
  { hasValues }: Demands,
): TrainingState {
  const adapter = lora ? initialLora(base.config, lora, createRandom(seed)) : [];
  const head: [string, Float32Array][] = hasValues
    ? [["score.weight", new Float32Array(base.config.hiddenSize)]]
    : [];
  return new Map([...base.weights(), ...adapter, ...head]);
}

function createTrainer(
  runtime: Runtime,
  {
    options,
    base,
    weights,
    steps,
  }: { options: OnlineOptions; base: Base; weights: TrainingState; steps: number },
): Promise<Trainer> {
  const { method, lossOptions, lora, temperature, threads } = options;
  const trained = {
    config: base.config,
    loss: method.loss,
    lossOptions,
    optimizer: optimizerOf(options, steps),
    lora: lora ?? undefined,
    temperature,
    ...(threads !== null && { threads }),
  };
  return Trainer.create(runtime, trained, weights);
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
  if (evaluation && trainer.step === 0) await metrics.begin(await evaluation.measure());
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

/** Early stopping keeps the weights with the highest held-out reward, everything else the last ones. */
async function finish(
  { options, base, prompts, demands }: Parts,
  { trainer, work, manifest, rewards }: World,
  { end, lines: texts }: { end: LoopEnd; lines: readonly string[] },
): Promise<OnlineSummary> {
  const isBest = options.patience > 0 && end.bestStep > 0 && existsSync(work.best);
  const all = isBest ? (await loadState(work.best)).state : weightsOf(trainer.values());
  const isHead = (name: string) => demands.hasValues && name.startsWith("score.");
  const weights = new Map([...all].filter(([name]) => !isHead(name))); // a value head serves no answers
  const lines = texts.map((line) => JSON.parse(line) as MetricsLine); // written here
  const keptStep = isBest ? end.bestStep : trainer.step;
  const heldOutAt = (step: number) => {
    const found = lines.find((line) => line["split"] === "held-out" && line["step"] === step);
    const { step: _, split: __, ...numbers } = found ?? {};
    return found ? (numbers as Record<string, number>) : null;
  };
  const [before, after] = [heldOutAt(0), heldOutAt(keptStep)];
  const summary: OnlineSummary = {
    method: options.name,
    out: options.out,
    steps: trainer.step,
    stoppedEarly: end.stoppedEarly,
    trainLoss: (lines.findLast((line) => line["split"] === "train")?.["loss"] as number) ?? null,
    heldOutLoss: after?.["loss"] ?? null,
    keptStep,
    heldOut: before && after ? { before, after } : null,
  };
  const files = [
    {
      name: options.prompts.source,
      sha256: String(manifest["prompts, SHA-256"]),
      rows: prompts.train.length,
    },
  ];
  const facts = factsOf(summary, { base, prompts, reward: rewards.revision });
  const data = { files, dropped: {} };
  await writeTrained(work.model, { options, base, facts, data, manifest, weights, lines });
  await work.finish(JSON.stringify(summary));
  return summary;
}

function factsOf(
  { method, steps, stoppedEarly, keptStep, heldOut }: OnlineSummary,
  { base, prompts, reward }: { base: Base; prompts: Prompts; reward: string },
): [string, string][] {
  const change = (name: string): [string, string][] => {
    const [before, after] = [heldOut?.before[name], heldOut?.after[name]];
    if (before === undefined || after === undefined) return [];
    return [[`held-out ${name}`, `${before.toPrecision(4)} before, ${after.toPrecision(4)} after`]];
  };
  return [
    ["method", method],
    ["base", `${basename(base.folder)} (SHA-256 ${base.sha256.slice(0, 12)}…)`],
    ["reward", reward],
    ["prompts", `${prompts.train.length}, and ${prompts.heldOut.length} held out`],
    ["steps", `${steps}${stoppedEarly ? ", stopped early" : ""}; weights of step ${keptStep}`],
    ...["reward", "gold", "accuracy", "length"].flatMap(change),
  ];
}
