/** A training from a command to a model's folder. Whatever moment it is killed at, the same command goes on. */
import { existsSync } from "node:fs";
import { createRandom } from "../../base/random.ts";
import type { Runtime } from "../../onnx/runtime/index.ts";
import { type LoopEnd, runLoop, type StepReport } from "../../train/loop.ts";
import { initialLora } from "../../train/lora.ts";
import { Trainer, type TrainingState } from "../../train/trainer.ts";
import { loadState, weightsOf } from "../../train/training-state.ts";
import { type Base, openBase } from "./base.ts";
import { factsOf } from "./card.ts";
import type { Example, Material, References, Teacher } from "./define-material.ts";
import { asDivergence, asWriteFailure } from "./failures.ts";
import { manifestOf } from "./manifest.ts";
import { materialOf } from "./material.ts";
import { refuseTooLarge } from "./memory.ts";
import { needsReference } from "./methods.ts";
import { openMetrics } from "./metrics.ts";
import { optimizerOf } from "./optimizer.ts";
import type { TrainingOptions } from "./options.ts";
import { type PreparedData, prepareData } from "./prepare.ts";
import { computeReferences, loadReferences, saveReferences } from "./references.ts";
import type { MetricsLine } from "./report.ts";
import { cutIntoPasses, type PassMaker, passesOf, rowOf, stepsOver } from "./schedule-examples.ts";
import { checkTeacher, computeLaws, loadLaws, nobody, saveLaws, teacherOf } from "./teacher.ts";
import { type Manifest, openWorkFolder, type WorkFolder } from "./work-folder.ts";
import { writeTrained } from "./write-trained.ts";

/** What a training says while it runs. */
export interface TrainingListener {
  /** Before the first step, once all is read and checked. */
  onStart(plan: TrainingPlan): void;
  onReferences(done: number, total: number): void;
  onStep(report: StepReport): void;
}

export interface TrainingPlan {
  readonly steps: number;
  /** Where a former run of the command had come to. */
  readonly startStep: number;
  readonly examples: number;
  readonly heldOut: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly neededBytes: number;
}

export interface TrainingSummary {
  readonly method: string;
  readonly out: string;
  readonly steps: number;
  readonly stoppedEarly: boolean;
  readonly trainLoss: number | null;
  readonly heldOutLoss: number | null;
  /** The step whose weights were written. */
  readonly keptStep: number;
}

/** @throws GatewayError for whatever is wrong with options, files, memory or disk; training_diverged */
export async function train(
  runtime: Runtime,
  options: TrainingOptions,
  listener: TrainingListener,
): Promise<TrainingSummary> {
  const { method, data, seed } = options;
  const base = await openBase(options.base, method, options.stepReading !== undefined);
  const material = materialOf(method.loss, options);
  const contextTokens = Math.min(data.contextTokens ?? Infinity, base.config.contextTokens);
  const teacher = options.teacher ? await openBase(options.teacher.folder, method) : null;
  if (teacher) checkTeacher(base, teacher, contextTokens);
  const reading = { method, material, format: base.format, contextTokens, seed };
  const prepared = await prepareData(data, reading);
  const plan = planOf(options, prepared);
  const neededBytes = await refuseTooLarge(options, base.config, {
    passes: largestPasses(options, plan, prepared),
    teacher: teacher?.config,
  });
  const manifest = manifestOf(options, base, teacher, prepared);
  const work = await openWorkFolder(options.out, manifest);
  try {
    if (work.summary !== null) return JSON.parse(work.summary) as TrainingSummary; // written by finish
    const parts = {
      runtime,
      options,
      listener,
      base,
      teacher,
      material,
      prepared,
      manifest,
      plan,
      neededBytes,
    };
    return await trainIn(work, parts);
  } catch (error) {
    throw asWriteFailure(error, options.out);
  } finally {
    await work.release();
  }
}

interface Parts {
  readonly runtime: Runtime;
  readonly options: TrainingOptions;
  readonly listener: TrainingListener;
  readonly base: Base;
  readonly teacher: Base | null;
  readonly material: Material;
  readonly prepared: PreparedData;
  readonly manifest: Manifest;
  readonly plan: Plan;
  readonly neededBytes: number;
}

interface Plan {
  readonly order: ReturnType<typeof stepsOver<Example>>;
  readonly steps: number;
}

async function trainIn(work: WorkFolder, parts: Parts): Promise<TrainingSummary> {
  const { runtime, options, listener, base, prepared, neededBytes } = parts;
  const { order, steps } = parts.plan;
  const saved = existsSync(work.state) ? await loadState(work.state) : null;
  listener.onStart({
    steps,
    startStep: saved?.step ?? 0,
    examples: prepared.train.length,
    heldOut: prepared.heldOut.length,
    dropped: prepared.dropped,
    neededBytes,
  });
  const references = await referencesFor(work, parts);
  const teacher = await teacherFor(work, parts);
  const { material } = parts;
  const maker = { material, passTokens: options.passTokens, references, teacher };
  const metrics = await openMetrics(options.out, {
    method: options.method.loss.name,
    steps,
    from: saved?.step ?? 0,
  });
  const trainer = await Trainer.create(
    runtime,
    {
      config: base.config,
      loss: options.method.loss,
      lossOptions: options.lossOptions,
      optimizer: optimizerOf(options, steps),
      lora: options.lora ?? undefined,
      ...(options.threads !== null && { threads: options.threads }),
    },
    stateOf(parts, saved?.state),
    saved?.step ?? 0,
  );
  try {
    const end = await runLoop(
      trainer,
      {
        steps,
        passes: (step) => passesOf(order.at(step), maker),
        checkpointEvery: options.checkpointEvery,
        statePath: work.state,
        evaluation: evaluationOf(work, parts, { trainer, maker }),
        async onStep(report) {
          await metrics.add(report);
          listener.onStep(report);
        },
      },
      saved?.notes,
    ).catch((error: unknown) => {
      throw asDivergence(error, (step) => cutIntoPasses(order.at(step), options.passTokens));
    });
    return await finish(work, parts, { trainer, end, metrics: metrics.lines() });
  } finally {
    await metrics.close();
    trainer.dispose();
  }
}

/** @param saved of a former run: weights that are trained, and their moments. */
function stateOf({ base, options }: Parts, saved: TrainingState | undefined): TrainingState {
  const { lora, seed } = options;
  if (!lora) return saved ?? base.weights();
  const trained = saved ?? initialLora(base.config, lora, createRandom(seed));
  return new Map([...base.weights(), ...trained]);
}

function planOf(options: TrainingOptions, { train: examples }: PreparedData): Plan {
  const order = stepsOver(examples, options);
  const steps = options.steps ?? Math.max(1, Math.ceil(options.epochs * order.perEpoch));
  return { order, steps };
}

/** Every pass of the first epoch and of the held-out examples: later epochs have others of the like. */
function largestPasses(
  options: TrainingOptions,
  plan: Plan,
  prepared: PreparedData,
): { rowTokens: number; tokens: number; scored: number }[] {
  return passesOverAll(options, plan, prepared).map((examples) => {
    const rowTokens = rowOf(examples);
    const sum = examples.reduce((n, { lengths }) => n + lengths.reduce((a, b) => a + b, 0), 0);
    const scored = examples.reduce((n, { scoredTokens }) => n + scoredTokens, 0);
    return { rowTokens, tokens: Math.ceil(sum / rowTokens) * rowTokens, scored };
  });
}

function firstEpoch({ order, steps }: Plan, passTokens: number): Example[][] {
  const count = Math.min(steps, order.perEpoch);
  return Array.from({ length: count }, (_, i) => cutIntoPasses(order.at(i + 1), passTokens)).flat();
}

const passesOverAll = (
  { passTokens }: TrainingOptions,
  plan: Plan,
  { heldOut }: PreparedData,
): Example[][] => [...firstEpoch(plan, passTokens), ...cutIntoPasses(heldOut, passTokens)];

/** Nobody where there is no teacher. */
async function teacherFor(
  work: WorkFolder,
  { runtime, options, listener, teacher: base, material, prepared, plan }: Parts,
): Promise<Teacher> {
  if (!base) return nobody;
  const examples = [...prepared.train, ...prepared.heldOut];
  let laws = await loadLaws(work.laws, examples);
  if (!laws) {
    const { threads } = options;
    laws = await computeLaws(runtime, passesOverAll(options, plan, prepared), examples, {
      base,
      material,
      tokens: options.teacher!.tokens,
      ...(threads !== null && { threads }),
      onProgress: (done, total) => listener.onReferences(done, total),
    });
    await saveLaws(work.laws, laws);
  }
  return teacherOf(laws, examples);
}

/** @returns zeros where the loss asks for none. */
async function referencesFor(
  work: WorkFolder,
  { runtime, options, listener, base, material, prepared, plan }: Parts,
): Promise<References> {
  if (!needsReference(options.method.loss)) return ({ answers }) => answers.map(() => 0);
  const examples = [...prepared.train, ...prepared.heldOut];
  let table = await loadReferences(work.references, examples);
  if (!table) {
    const { threads } = options;
    const passes = passesOverAll(options, plan, prepared);
    const { config } = base;
    const onProgress = (done: number, total: number) => listener.onReferences(done, total);
    table = await computeReferences(runtime, passes, {
      config,
      weights: base.weights(),
      material,
      onProgress,
      ...(threads !== null && { threads }),
    });
    await saveReferences(work.references, examples, table);
  }
  const found = table;
  return (example) => found.get(example)!;
}

function evaluationOf(
  work: WorkFolder,
  { options, prepared: { heldOut }, plan: { steps } }: Parts,
  { trainer, maker }: { trainer: Trainer; maker: PassMaker },
) {
  if (heldOut.length === 0) return undefined;
  const { patience } = options;
  const passes = passesOf(heldOut, maker);
  return {
    measure: () => trainer.evaluate(passes),
    every: options.evaluateEvery ?? Math.max(1, Math.ceil(steps / 10)),
    patience,
    bestPath: work.best,
  };
}

/** Early stopping keeps the weights with the lowest held-out loss, everything else the last ones. */
async function finish(
  work: WorkFolder,
  { options, base, prepared, manifest }: Parts,
  { trainer, end, metrics }: { trainer: Trainer; end: LoopEnd; metrics: readonly string[] },
): Promise<TrainingSummary> {
  const isBest = options.patience > 0 && end.bestStep > 0 && existsSync(work.best);
  const weights = isBest ? (await loadState(work.best)).state : weightsOf(trainer.values());
  const lines = metrics.map((line) => JSON.parse(line) as MetricsLine); // written here
  const lastOf = (split: string) =>
    lines.findLast((line) => line["split"] === split)?.["loss"] as number | undefined;
  const summary: TrainingSummary = {
    method: options.method.loss.name,
    out: options.out,
    steps: trainer.step,
    stoppedEarly: end.stoppedEarly,
    trainLoss: lastOf("train") ?? null,
    heldOutLoss: (isBest ? end.bestLoss : lastOf("held-out")) ?? null,
    keptStep: isBest ? end.bestStep : trainer.step,
  };
  const facts = factsOf({ base, prepared, summary });
  await writeTrained(work.model, {
    options,
    base,
    facts,
    data: prepared,
    manifest,
    weights,
    lines,
  });
  await work.finish(JSON.stringify(summary));
  return summary;
}
