/**
 * `npm run models:build`: generates the corpus, trains the tokenizer, the policy `tiny-chat` and the
 * reward model `tiny-reward`, and writes them to `models/`. Every part is seeded; a killed build goes on
 * where it was when it is started again. `--restart` forgets what was done.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../src/base/assert.ts";
import { createRandom } from "../../src/base/random.ts";
import { type ModelConfig, parseModelConfig } from "../../src/checkpoints/config.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import {
  careless,
  flawless,
  type Mixture,
  preferenceGroups,
  sftExamples,
  sftMixture,
} from "../../src/corpus/index.ts";
import { cosineSchedule } from "../../src/onnx/optimizers.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import type { ChatFormat } from "../../src/text/chat-answers.ts";
import { ChatTemplate } from "../../src/text/chat-template.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import {
  correctionStep,
  rewardStep,
  type SupervisedExample,
  supervisedStep,
} from "../../src/train/batches.ts";
import { deepened, initialWeights } from "../../src/train/initial-weights.ts";
import { lossNamed } from "../../src/train/losses/index.ts";
import type { TrainingState } from "../../src/train/trainer.ts";
import { encodeClaims, encodeExample, encodeGroup, encodeStanding } from "./encode.ts";
import { type Filling, fillBatches } from "./fill-batches.ts";
import {
  architecture,
  arithmeticShare,
  BASE_LAYERS,
  baseStage,
  chatStage,
  claimsStage,
  rewardStage,
  type StageSettings,
  standingStage,
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
  const template = await ChatTemplate.load(tokenizerFolder);
  assert(template, "the tokenizer has just been written with its template");
  const format = { tokenizer, template };
  const runtime = openRuntime();
  const base = await trainBase(runtime, format);
  const rewardConfig = modelConfig(tokenizer, "LlamaForSequenceClassification");
  const reward = await trainReward(runtime, format, rewardConfig, base);
  await writeModel(join(MODELS, "tiny-reward"), rewardConfig, reward, tokenizerFolder);
  const chatConfig = modelConfig(tokenizer, "LlamaForCausalLM");
  const chat = await trainChat(runtime, format, chatConfig, base);
  await writeModel(join(MODELS, "tiny-chat"), chatConfig, chat, tokenizerFolder);
  console.log("models: done. `npm run plumbline -- eval embedded` measures them.");
}

/** On flawless demonstrations: what is right, for both models. */
async function trainBase(runtime: Runtime, format: ChatFormat) {
  const config = { ...modelConfig(format.tokenizer, "LlamaForCausalLM"), layers: BASE_LAYERS };
  const random = createRandom(baseStage.seed);
  return runStage(runtime, {
    ...demonstrations("tiny-base", { format, config, settings: baseStage, mixture: flawless }),
    initial: initialWeights(weightShapes(config), config.layers, random),
  });
}

/** On demonstrations with flaws, as a policy has them: something is left to align. */
async function trainChat(
  runtime: Runtime,
  format: ChatFormat,
  config: ModelConfig,
  base: TrainingState,
) {
  const random = createRandom(chatStage.seed);
  return runStage(runtime, {
    ...demonstrations("tiny-chat", { format, config, settings: chatStage, mixture: sftMixture }),
    initial: deepened(base, weightShapes(config), random),
  });
}

/**
 * A scalar head on the same base. Which of two replies is better says too little about where they differ
 * for a model this small, so it first learns to see mistakes where they stand, and to count them (docs/log.md).
 */
async function trainReward(
  runtime: Runtime,
  format: ChatFormat,
  config: ModelConfig,
  base: TrainingState,
) {
  const random = createRandom(claimsStage.seed);
  const claims = await runStage(runtime, {
    ...corrections("tiny-reward-claims", {
      format,
      config,
      settings: claimsStage,
      mixture: careless,
      encode: encodeClaims,
    }),
    initial: deepened(base, weightShapes(config), random),
  });
  const standing = await runStage(runtime, {
    ...corrections("tiny-reward-standing", {
      format,
      config,
      settings: standingStage,
      mixture: sftMixture,
      encode: encodeStanding,
    }),
    initial: claims,
  });
  return runStage(runtime, {
    ...preferences("tiny-reward", { format, config, settings: rewardStage }),
    initial: standing,
  });
}

interface Course {
  readonly config: ModelConfig;
  readonly settings: StageSettings;
}

interface Demonstrations extends Course {
  readonly format: ChatFormat;
  readonly mixture: Mixture;
}

function demonstrations(name: string, { format, mixture, ...course }: Demonstrations) {
  return stage(name, course, "sft", () => ({
    source: sftExamples(course.settings.seed, mixture),
    encode: (example) => encodeExample(format, example),
    tokensOf,
    step: supervisedStep,
  }));
}

function corrections(
  name: string,
  { format, mixture, encode, ...course }: Demonstrations & { encode: typeof encodeClaims },
) {
  return stage(name, course, "corrective", () => ({
    source: sftExamples(course.settings.seed, mixture, arithmeticShare),
    encode: (example) => encode(format, example),
    tokensOf,
    step: correctionStep,
  }));
}

function preferences(name: string, { format, ...course }: Course & { format: ChatFormat }) {
  return stage(name, course, "bradley-terry", () => ({
    source: preferenceGroups(course.settings.seed),
    encode: (group) => encodeGroup(format, group),
    tokensOf: ({ prompt, completions }) =>
      completions.reduce((sum, { length }) => sum + prompt.length + length, 0),
    step: rewardStep,
  }));
}

/** @param filling is asked anew for the same examples when a stage is taken up again. */
function stage<S, E>(
  name: string,
  { config, settings }: Course,
  loss: string,
  filling: () => Omit<Filling<S, E>, "settings">,
): Omit<Stage, "initial"> {
  const { learningRate, warmupSteps, scheduleSteps, weightDecay } = settings;
  const schedule = cosineSchedule(learningRate, warmupSteps, scheduleSteps);
  return {
    name,
    steps: settings.steps,
    checkpoint: join(WORK, `${name}.safetensors`),
    trainer: { config, loss: lossNamed(loss), optimizer: { schedule, weightDecay } },
    batches: () => fillBatches({ ...filling(), settings }),
  };
}

function tokensOf({ prompt, completion }: SupervisedExample): number {
  return prompt.length + completion.length;
}

function modelConfig(tokenizer: Tokenizer, className: string): ModelConfig {
  const ids = {
    bos_token_id: null,
    eos_token_id: [...tokenizer.endIds],
    pad_token_id: tokenizer.idOf("<|pad|>"),
  };
  const labels = { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 } };
  const config = {
    architectures: [className],
    ...architecture,
    vocab_size: tokenizer.vocabSize,
    ...ids,
    ...(className.endsWith("ForSequenceClassification") && labels),
  };
  return parseModelConfig("the recipe", { config, generation: ids });
}

await main();
