/**
 * The one training loop: steps, evaluations on held-out examples with early stopping, and a saved state from which the
 * same loop goes on to the same result after a kill. Knows nothing of files of data, of texts and of terminals.
 */
import type { Pass, Trainer } from "./trainer.ts";
import { saveState, saveWeights } from "./training-state.ts";

export interface LoopOptions {
  readonly steps: number;
  /** Of the step numbered from 1: the same every time it is asked, in any process. */
  readonly passes: (step: number) => readonly Pass[] | Promise<readonly Pass[]>;
  readonly checkpointEvery: number;
  /** Where the state is kept. */
  readonly statePath: string;
  readonly evaluation?: EvaluationOptions | undefined;
  readonly onStep?: (report: StepReport) => void | Promise<void>;
}

export interface EvaluationOptions {
  /** Numbers of the model as it is, `loss` among them, of which less is better. */
  readonly measure: () => Promise<Record<string, number>>;
  /** Steps between evaluations; there is one more after the last step. */
  readonly every: number;
  /** Evaluations without a lower loss after which the loop ends; 0: it never does. */
  readonly patience: number;
  /** Where the weights with the lowest loss are kept; written only with patience. */
  readonly bestPath: string;
}

export interface StepReport {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Tokens read in it, padding included. */
  readonly tokens: number;
  /** On the held-out examples, where this step was followed by an evaluation. */
  readonly heldOut: Readonly<Record<string, number>> | null;
}

/** What a loop remembers of evaluations, kept with the state. */
export interface LoopMemory {
  readonly bestLoss: number;
  /** 0 before the first evaluation. */
  readonly bestStep: number;
  /** Evaluations since then. */
  readonly waited: number;
}

export interface LoopEnd extends LoopMemory {
  readonly stoppedEarly: boolean;
}

const nothing: LoopMemory = { bestLoss: Number.POSITIVE_INFINITY, bestStep: 0, waited: 0 };

/**
 * From wherever the trainer is to the end.
 * @param notes of the saved state that the trainer was made of.
 * @throws NotFinite; whatever writing the state fails with.
 */
export async function runLoop(
  trainer: Trainer,
  options: LoopOptions,
  notes: Readonly<Record<string, number>> = {},
): Promise<LoopEnd> {
  const { steps: last, passes, checkpointEvery, statePath, evaluation, onStep } = options;
  const { runningMean = 0, runningSteps = 0, ...remembers } = notes;
  trainer.running = { mean: runningMean, steps: runningSteps };
  let memory: LoopMemory = { ...nothing, ...remembers };
  const isDone = () => isOver(memory, evaluation);
  const save = () => {
    const { mean, steps } = trainer.running;
    return saveState(statePath, trainer, { ...memory, runningMean: mean, runningSteps: steps });
  };
  while (trainer.step < last && !isDone()) {
    const ofStep = await passes(trainer.step + 1);
    const metrics = await trainer.runPasses(ofStep);
    const { step } = trainer;
    let heldOut: Record<string, number> | null = null;
    if (evaluation && (step % evaluation.every === 0 || step === last)) {
      heldOut = await evaluation.measure();
      memory = await remembered(trainer, memory, heldOut["loss"]!, evaluation);
    }
    await onStep?.({ step, metrics, tokens: tokensOf(ofStep), heldOut });
    if (step % checkpointEvery === 0 || step === last || isDone()) await save();
  }
  return { ...memory, stoppedEarly: trainer.step < last };
}

function isOver({ waited }: LoopMemory, evaluation: EvaluationOptions | undefined): boolean {
  return evaluation !== undefined && evaluation.patience > 0 && waited >= evaluation.patience;
}

/**
 * NOTE: the best weights are written before the state that speaks of them. After a kill in between the loop comes to
 * the same evaluation again, and writes the same weights.
 */
async function remembered(
  trainer: Trainer,
  memory: LoopMemory,
  loss: number,
  { patience, bestPath }: EvaluationOptions,
): Promise<LoopMemory> {
  if (!(loss < memory.bestLoss)) return { ...memory, waited: memory.waited + 1 };
  if (patience > 0) await saveWeights(bestPath, trainer);
  return { bestLoss: loss, bestStep: trainer.step, waited: 0 };
}

const tokensOf = (passes: readonly Pass[]) =>
  passes.reduce((sum, { data }) => sum + data.packed.ids.length, 0);
