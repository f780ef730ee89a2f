/** This project's trainer. */
import { systemClock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { Checkpoint } from "../../src/checkpoints/checkpoint.ts";
import type { Graph } from "../../src/onnx/graph.ts";
import { openRuntime } from "../../src/onnx/runtime/index.ts";
import { type StepData, supervisedStep } from "../../src/train/batches.ts";
import { pairStep } from "../../src/train/families/answers.ts";
import { initialLora } from "../../src/train/lora.ts";
import { lossNamed } from "../../src/train/losses/index.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { answerSteps, type TrainSettings } from "../train-protocol.ts";

await answerSteps(async (settings) => {
  const trainer = await open(settings);
  const data = batchOf(settings);
  return async () => {
    const started = systemClock.elapsedMs();
    const { loss } = await trainer.run(data);
    return { ms: systemClock.elapsedMs() - started, loss: loss! };
  };
});

async function open(settings: TrainSettings): Promise<Trainer> {
  const { checkpoint, method, lora, threads, learningRate } = settings;
  const { config, state } = await readState(checkpoint);
  if (lora) {
    for (const [name, values] of initialLora(config, lora, createRandom(1)))
      state.set(name, values);
  }
  const options = {
    config,
    loss: lossNamed(method),
    optimizer: {
      schedule: (g: Graph) => g.scalar(learningRate),
      weightDecay: 0,
    },
    threads,
    lora: lora ?? undefined,
  };
  return Trainer.create(openRuntime(), options, state);
}

/** Values alone: the file's own bytes are not kept. */
async function readState(folder: string) {
  const checkpoint = await Checkpoint.open(folder);
  const state = new Map(checkpoint.names.map((name) => [name, checkpoint.weight(name).data]));
  return { config: checkpoint.config, state };
}

function batchOf({ method, sequences, references, tokensPerRow }: TrainSettings): StepData {
  if (method === "sft") return supervisedStep(sequences, tokensPerRow);
  const groups = sequences.flatMap(({ prompt, completion }, i) => {
    if (i % 2 === 1) return [];
    const answers = [completion, sequences[i + 1]!.completion].map((tokens, side) => ({
      completion: tokens,
      reference: references[i + side]!,
    }));
    return [{ prompt, answers, pairs: [{ chosen: 0, rejected: 1 }] }];
  });
  return pairStep(groups, tokensPerRow);
}
