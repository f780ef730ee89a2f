/**
 * `npm run models:build`: generates the corpus, trains the tokenizer, the policy `tiny-chat` and the
 * reward model `tiny-reward`, and writes them to `models/`. Every part is seeded; a killed build goes on
 * where it was when it is started again. `--restart` forgets what was done.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { createRandom } from "../../src/base/random.ts";
import type { ModelConfig } from "../../src/checkpoints/config.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import {
  flawless,
  type Mixture,
  preferenceGroups,
  sftExamples,
  sftMixture,
} from "../../src/corpus/index.ts";
import { cosineSchedule } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import { rewardStep, supervisedStep } from "../../src/train/batches.ts";
import { initialWeights } from "../../src/train/initial-weights.ts";
import { lossNamed } from "../../src/train/losses/index.ts";
import { encodeExample, encodeGroup } from "./encode.ts";
import { fillBatches } from "./fill-batches.ts";
import {
  architecture,
  chatStages,
  REWARD_PREFIXES,
  rewardBodyStage,
  rewardStage,
  type StageSettings,
} from "./settings.ts";
import { runStage, type Stage } from "./stage.ts";
import { buildTokenizer } from "./tokenizer.ts";
import { writeModel } from "./write-model.ts";

const MODELS = join(import.meta.dirname, "..");
const WORK = join(MODELS, "..", ".build", "models");

async function main(): Promise<void> {
  if (process.argv.includes("--restart")) await rm(WORK, { recursive: true, force: true });
  await mkdir(WORK, { recursive: true });
  const tokenizerFolder = join(WORK, "tokenizer");
  const tokenizer = await buildTokenizer(tokenizerFolder);
  const runtime = openRuntime();
  const chatConfig = modelConfig(tokenizer, "LlamaForCausalLM");
  const chat = await trainChat(runtime, tokenizer, chatConfig);
  await writeModel(join(MODELS, "tiny-chat"), chatConfig, chat, tokenizerFolder);
  const rewardConfig = modelConfig(tokenizer, "LlamaForSequenceClassification");
  const reward = await trainReward(runtime, tokenizer, rewardConfig, chat);
  await writeModel(join(MODELS, "tiny-reward"), rewardConfig, reward, tokenizerFolder);
  console.log("models: done. `npm run plumbline -- eval embedded` measures them.");
}

/** Supervised training on demonstrations, flaws included: something is left to align. */
async function trainChat(runtime: Runtime, tokenizer: Tokenizer, config: ModelConfig) {
  const random = createRandom(chatStages[0]!.seed);
  let weights = initialWeights(weightShapes(config), config.layers, random);
  for (const [index, settings] of chatStages.entries()) {
    const stage = sftStage(`tiny-chat-${index + 1}`, tokenizer, config, settings, sftMixture);
    weights = await runStage(runtime, { ...stage, initial: weights });
  }
  return weights;
}

/** The policy's body, first on flawless demonstrations, then with a scalar head on labelled pairs. */
async function trainReward(
  runtime: Runtime,
  tokenizer: Tokenizer,
  config: ModelConfig,
  chat: ReadonlyMap<string, Float32Array>,
) {
  const body = sftStage("tiny-reward-body", tokenizer, config, rewardBodyStage, flawless);
  const weights = await runStage(runtime, { ...body, initial: chat });
  return runStage(runtime, {
    name: "tiny-reward",
    steps: rewardStage.steps,
    checkpoint: join(WORK, "tiny-reward.safetensors"),
    trainer: {
      config,
      loss: lossNamed("bradley-terry"),
      lossOptions: { centering: 0.01 },
      optimizer: optimizer(rewardStage),
    },
    initial: new Map([...weights, ["score.weight", new Float32Array(config.hiddenSize)]]),
    batches: () =>
      fillBatches({
        source: preferenceGroups(rewardStage.seed),
        encode: (group) => encodeGroup(tokenizer, group),
        tokensOf: ({ prompt, completions }) =>
          completions.reduce((sum, { length }) => sum + prompt.length + length, 0),
        step: (groups, tokensPerRow) => rewardStep(groups, tokensPerRow, REWARD_PREFIXES),
        settings: rewardStage,
      }),
  });
}

function sftStage(
  name: string,
  tokenizer: Tokenizer,
  config: ModelConfig,
  settings: StageSettings,
  mixture: Mixture,
): Omit<Stage, "initial"> {
  return {
    name,
    steps: settings.steps,
    checkpoint: join(WORK, `${name}.safetensors`),
    trainer: { config, loss: lossNamed("sft"), optimizer: optimizer(settings) },
    batches: () =>
      fillBatches({
        source: sftExamples(settings.seed, mixture),
        encode: (example) => encodeExample(tokenizer, example),
        tokensOf: ({ prompt, completion }) => prompt.length + completion.length,
        step: supervisedStep,
        settings,
      }),
  };
}

function optimizer({ learningRate, warmupSteps, scheduleSteps, weightDecay }: StageSettings) {
  return { schedule: cosineSchedule(learningRate, warmupSteps, scheduleSteps), weightDecay };
}

function modelConfig(tokenizer: Tokenizer, kind: ModelConfig["architecture"]): ModelConfig {
  return {
    architecture: kind,
    ...architecture,
    vocabSize: tokenizer.vocabSize,
    attentionBias: false,
    mlpBias: false,
    bosId: null,
    eosIds: [...tokenizer.endIds],
    padId: tokenizer.idOf("<|pad|>"),
    ...(kind === "LlamaForSequenceClassification" ? { numLabels: 1 } : {}),
    dtype: "float16",
    sampling: {},
  };
}

await main();
