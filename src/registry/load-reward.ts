/** Folders → rewards: checkpoints that score whole answers or their steps, and classifiers in ONNX files. */
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import { readCheckpointJson } from "../base/json-file.ts";
import { Checkpoint } from "../checkpoints/checkpoint.ts";
import { onnxFileIn, openClassifier } from "../checkpoints/classifier.ts";
import { comparesPairs, isServedClass, tasks } from "../checkpoints/config.ts";
import { chosenTokens } from "../engine/chosen-tokens.ts";
import { ClassifierEngine } from "../engine/classifier-engine.ts";
import type { PrefixStats } from "../engine/prefix-cache.ts";
import { RewardEngine } from "../engine/reward-engine.ts";
import type { Scorer } from "../engine/types.ts";
import type { Reward } from "../rewards/define.ts";
import { createPairClassifier } from "../rewards/pair-classifier.ts";
import { createPreferenceModel } from "../rewards/preference-model.ts";
import { createProcessReward } from "../rewards/process-reward.ts";
import { createRewardModel } from "../rewards/reward-model.ts";
import {
  type StepConvention,
  type StepSettings,
  stepConvention,
  stepConventions,
} from "../rewards/step-conventions.ts";
import { layouts } from "../rewards/step-layouts.ts";
import { createStepRule } from "../rewards/step-rule.ts";
import { ChatTemplate } from "../text/chat-template.ts";
import { loadPairTokenizer } from "../text/classifier-tokenizer.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { type LoadOptions, openModel } from "./load.ts";

export interface RewardOptions extends LoadOptions {
  /** The class that is the reward, by name or number; the only one when nothing is said. */
  readonly label?: string;
  /** An ONNX file of the folder to serve instead of its weights. */
  readonly file?: string;
  /** How a process reward model is asked; null: it judges whole answers. */
  readonly steps?: StepSettings | undefined;
  /** False: its numbers for unfinished answers are not to be used. */
  readonly acceptsPrefixes?: boolean;
}

export interface LoadedReward {
  readonly reward: Reward;
  readonly engine: Scorer & {
    readonly stats: { readonly prefixes: PrefixStats };
    dispose(): Promise<void>;
  };
}

/** @throws GatewayError checkpoint_invalid, architecture_unsupported, provider_unavailable, config_invalid */
export async function loadReward(options: RewardOptions): Promise<LoadedReward> {
  const { reward, engine } = await loadAny(options);
  const acceptsPrefixes = reward.acceptsPrefixes && (options.acceptsPrefixes ?? true);
  return { reward: { ...reward, acceptsPrefixes }, engine };
}

async function loadAny(options: RewardOptions): Promise<LoadedReward> {
  const file = options.file || (await unservedOnnx(options.folder));
  if (file) return loadClassifier(options, file);
  const checkpoint = await Checkpoint.open(options.folder);
  const { task } = checkpoint.config;
  if (options.steps) {
    if (task === "sequence-scores") throw judgesWhole(options.folder);
    return loadProcessReward(options, checkpoint, stepConvention(options.steps));
  }
  if (task !== "sequence-scores") throw needsSteps(options.folder, task);
  return loadRewardModel(options, checkpoint);
}

/** The ONNX file of a folder whose weights are not served without it. */
async function unservedOnnx(folder: string): Promise<string | null> {
  const Declared = Type.Object({ architectures: Type.Array(Type.String(), { minItems: 1 }) });
  const { architectures } = await readCheckpointJson(join(folder, "config.json"), Declared);
  return isServedClass(architectures[0]!) ? null : onnxFileIn(folder);
}

async function loadRewardModel(
  options: RewardOptions,
  checkpoint: Checkpoint,
): Promise<LoadedReward> {
  const { folder } = options;
  const label = labelOf(options, labelNames(checkpoint));
  const { tokenizer, template, model } = await openModel(options, checkpoint, "scores");
  if (!template) throw withoutTemplate(folder);
  const engine = new RewardEngine(model, options);
  const id = basename(folder);
  if (comparesPairs(checkpoint.config)) {
    const { eosIds } = checkpoint.config;
    const endIds = eosIds.length > 0 ? eosIds : tokenizer.endIds;
    const format = { tokenizer, template };
    return { reward: createPreferenceModel({ id, scorer: engine, format, endIds }), engine };
  }
  const reward = createRewardModel({ id, scorer: engine, tokenizer, template, label });
  return { reward, engine };
}

async function loadProcessReward(
  options: RewardOptions,
  checkpoint: Checkpoint,
  convention: StepConvention,
): Promise<LoadedReward> {
  const { folder } = options;
  const { config } = checkpoint;
  const isSpoken = config.task === "generation";
  const names = labelNames(checkpoint);
  const right = names.length === 2 ? "1" : ""; // of two classes the second says that a step is right
  const label = isSpoken ? 0 : labelOf({ folder, label: options.label || right }, names);
  const spoken = isSpoken ? await spokenTokens(folder, convention) : null;
  const { tokenizer, template, model } = await openModel(options, checkpoint, "scores", (source) =>
    spoken ? chosenTokens(source, spoken) : source,
  );
  const { layout, separator, marker, glue, trims, aggregate } = convention;
  if (!template && (layout === "chat" || layout === "turns")) throw withoutTemplate(folder);
  const parts = { tokenizer, template, separator, marker: marker ?? separator, glue };
  const engine = new RewardEngine(model, options);
  const reward = createProcessReward({
    id: basename(folder),
    variant: variantOf({ ...convention, label }),
    scorer: engine,
    steps: createStepRule({ separator, trims, aggregate }),
    layout: (messages, steps) => layouts[layout](parts, messages, steps),
    label,
    softcap: isSpoken ? config.logitSoftcap : null,
  });
  return { reward, engine };
}

/** The first 6 hexadecimal digits of the SHA-256 of how the model is asked. */
function variantOf(settings: StepConvention & { label: number }): string {
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex").slice(0, 6);
}

/** The ids of what a language model says of a right step and of a wrong one. */
async function spokenTokens(folder: string, { tokens }: StepConvention): Promise<number[]> {
  if (tokens === null) {
    const problem =
      "this convention reads a token classifier; name the two tokens that a language model says, in 'tokens'.";
    throw new GatewayError("config_invalid", { source: "rewardSteps", problem });
  }
  const tokenizer = await Tokenizer.load(folder);
  return tokens.map((token) => {
    const ids = tokenizer.encode(token);
    if (ids.length === 1) return ids[0]!;
    const problem = `'${token}' is ${ids.length} tokens of the model in ${folder}; each of 'tokens' must be one.`;
    throw new GatewayError("config_invalid", { source: "rewardSteps", problem });
  });
}

async function loadClassifier(options: RewardOptions, file: string): Promise<LoadedReward> {
  const { folder, runtime, provider, threads, turnstile, contextTokens } = options;
  const classifier = await openClassifier(folder, file);
  if (options.steps) throw judgesWhole(folder);
  const label = labelOf(options, classifier.labels);
  const id = basename(folder);
  const template = await ChatTemplate.load(folder);
  const common = { provider, turnstile, contextTokens, ...(threads ? { threads } : {}) };
  if (template) {
    const tokenizer = await Tokenizer.load(folder);
    const scorer = await ClassifierEngine.load(runtime, classifier, { ...common, types: [0, 0] });
    const reward = createRewardModel({ id, scorer, tokenizer, template, label });
    return { reward, engine: scorer };
  }
  const tokenizer = await loadPairTokenizer(folder);
  const { types } = tokenizer.template;
  const scorer = await ClassifierEngine.load(runtime, classifier, { ...common, types });
  const reward = createPairClassifier({ id, scorer, tokenizer, label });
  return { reward, engine: scorer };
}

/** By number where the file names none. */
function labelNames({ config: { labels, files } }: Checkpoint): string[] {
  const names = files.config["id2label"] as Readonly<Record<string, unknown>> | null | undefined; // checked on reading
  return Array.from({ length: labels }, (_, i) => {
    const name = names?.[i];
    return typeof name === "string" ? name : `LABEL_${i}`;
  });
}

/**
 * The place of a label among these, by name or number; of a single one when nothing is said.
 * @throws GatewayError config_invalid
 */
function labelOf(
  { folder, label = "" }: Pick<RewardOptions, "folder" | "label">,
  labels: readonly string[],
): number {
  if (label === "" && labels.length === 1) return 0;
  const byNumber = /^\d+$/.test(label) ? Number(label) : -1;
  const at = labels.includes(label) ? labels.indexOf(label) : byNumber;
  if (at >= 0 && at < labels.length) return at;
  const names = labels.map((name, i) => `${i} (${name})`).join(", ");
  const wrong = label ? `'${label}' is none of them` : "say which one is the reward";
  const problem = `the model in ${folder} scores the classes ${names}; ${wrong}.`;
  throw new GatewayError("config_invalid", { source: "rewardLabel", problem });
}

function withoutTemplate(path: string): GatewayError {
  return new GatewayError("checkpoint_invalid", {
    path,
    problem: "tokenizer_config.json has no chat_template, which a reward model needs",
    remedy: "Add the template the model was trained with.",
  });
}

function judgesWhole(folder: string): GatewayError {
  const problem = `the model in ${folder} scores whole answers (…${tasks["sequence-scores"]}); steps take a …${tasks["token-scores"]} or a …${tasks.generation}. Unset it, or name another model.`;
  return new GatewayError("config_invalid", { source: "rewardSteps", problem });
}

function needsSteps(path: string, task: keyof typeof tasks): GatewayError {
  const conventions = Object.keys(stepConventions).join(", ");
  return new GatewayError("architecture_unsupported", {
    path,
    architecture: `…${tasks[task]}`,
    known: [
      `…${tasks["sequence-scores"]}`,
      `…${tasks["token-scores"]} and …${tasks.generation} as process rewards, when the setting rewardSteps names their convention (${conventions})`,
    ],
  });
}
