/**
 * Every setting: name, type, default, unit, check and documentation in one place. `config.ts` fills
 * it from the file, the environment and the flags; docs/configuration.md is printed from it.
 */
import { type Static, Type } from "typebox";

const MiB = 2 ** 20;

/** A model id of its own for a strategy with its options, for clients that can send no extra field. */
const presetSchema = Type.Object(
  {
    model: Type.String({ minLength: 1 }),
    strategy: Type.String({ minLength: 1 }),
    options: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    reward: Type.Optional(Type.String({ minLength: 1 })),
    holdout: Type.Optional(Type.String({ minLength: 1 })),
    budget: Type.Optional(
      Type.Object(
        {
          tokens: Type.Optional(Type.Integer({ minimum: 1 })),
          reward_calls: Type.Optional(Type.Integer({ minimum: 1 })),
          ms: Type.Optional(Type.Integer({ minimum: 1 })),
        },
        { additionalProperties: false },
      ),
    ),
  },
  { additionalProperties: false },
);

const numberFormat = ["float32", "float16", "int8", "int4"] as const;

const policySettings = Type.Object(
  {
    dir: Type.String({ minLength: 1 }),
    format: Type.Optional(Type.Enum([...numberFormat])),
    onnxFile: Type.Optional(Type.String({ minLength: 1 })),
  },
  { additionalProperties: false },
);

export const stepSettings = Type.Object(
  {
    convention: Type.Enum(["qwen2.5-math-prm", "math-shepherd", "rlhflow", "trl"]),
    layout: Type.Optional(Type.Enum(["chat", "text", "turns", "pieces"])),
    separator: Type.Optional(Type.String({ minLength: 1 })),
    marker: Type.Optional(Type.String({ minLength: 1 })),
    glue: Type.Optional(Type.String()),
    tokens: Type.Optional(
      Type.Tuple([Type.String({ minLength: 1 }), Type.String({ minLength: 1 })]),
    ),
    trims: Type.Optional(Type.Boolean()),
    aggregate: Type.Optional(
      Type.Enum(["last", "min", "product", "mean", "log-sum", "mean-log", "count"]),
    ),
  },
  {
    additionalProperties: false,
    description:
      "For a process reward model: the `convention` by which it reads and scores steps, and what differs from it (docs/rewards.md). Unset: the reward judges whole answers.",
  },
);

export const settingsSchema = Type.Object(
  {
    host: Type.String({
      default: "127.0.0.1",
      minLength: 1,
      description: "Address to listen on. Anything but loopback needs `apiKeys`.",
    }),
    port: Type.Integer({
      default: 8080,
      minimum: 0,
      maximum: 65_535,
      description: "Port to listen on; 0 takes a free one.",
    }),
    apiKeys: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description: "Accepted bearer keys. None: no key is asked for, and only loopback is served.",
    }),
    dataDir: Type.String({
      default: "./data",
      minLength: 1,
      description: "Folder of the log, the store and trained revisions.",
    }),
    storeUrl: Type.String({
      default: "",
      description: "Empty: the store embedded in `dataDir`. `postgres://…` is not supported yet.",
    }),
    device: Type.Enum(["auto", "cpu", "webgpu", "cuda"], {
      default: "auto",
      description:
        "Execution provider; `auto` takes the first of cuda, webgpu and cpu that this machine has, and logs why not the others.",
    }),
    threads: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 1_024,
      description: "Threads of one model run; 0 takes one per physical core.",
    }),
    policyDir: Type.String({
      default: "",
      description: "Checkpoint folder of the policy. Empty: the embedded `tiny-chat`.",
    }),
    policies: Type.Record(Type.String({ minLength: 1 }), policySettings, {
      default: {},
      description:
        "Policies beside the main one: id → {dir, format, onnxFile}, each with an engine, and so `cacheBytesMax` and `prefixBytesMax`, of its own; models run one at a time.",
    }),
    policyOnnxFile: Type.String({
      default: "",
      description:
        "Serves `onnx/<name>.onnx` of the policy's folder: `model`, `model_q4`, … Empty: its safetensors, or, where there are none, `onnx/model.onnx` or the only other one.",
    }),
    rewardDir: Type.String({
      default: "",
      description: "Checkpoint folder of the reward model. Empty: the embedded `tiny-reward`.",
    }),
    rewardLabel: Type.String({
      default: "",
      description:
        "Name or number of the class whose score is the reward. Empty: the only one; needed where a classifier has several.",
    }),
    rewardFile: Type.String({
      default: "",
      description:
        "ONNX file of a reward, within `rewardDir`, e.g. `onnx/model_quantized.onnx`. Empty: `onnx/model.onnx` or `model.onnx`, where the folder has no weights that are served without.",
    }),
    rewardSteps: Type.Optional(stepSettings),
    rewardPrefixes: Type.Boolean({
      default: true,
      description:
        "Whether the reward model's numbers for unfinished answers mean something, so that strategies may guide by them; `plumbline eval prefix` measures it.",
    }),
    adaptersDir: Type.String({
      default: "",
      description:
        "Folder of LoRA adapters of the policy, as PEFT saves them: each folder in it is served as the model `<policy>:<folder>`, all of them from the start. Empty: none.",
    }),
    policyFormat: Type.Enum([...numberFormat], {
      default: "float32",
      description:
        "How the policy's matrices are held: `float16` is for devices; fewer bits are faster on one sequence and take less memory, and are less exact (`plumbline eval formats`).",
    }),
    rewardFormat: Type.Enum([...numberFormat], {
      default: "float32",
      description: "How the reward model's matrices are held.",
    }),
    draft: Type.String({
      default: "",
      description:
        "Speculative decoding: checkpoint folder of a smaller model with the policy's tokens, or `prompt-lookup` for text that repeats its prompt. Answers stay the same; few at a time come faster. Empty: none.",
    }),
    draftTokens: Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 7,
      description: "Tokens guessed for a sequence and checked in one step.",
    }),
    rewards: Type.Record(
      Type.String({ minLength: 1 }),
      Type.Object({ kind: Type.String({ minLength: 1 }) }, { additionalProperties: true }),
      {
        default: {},
        description:
          "Rewards beside the reward model: id → {kind, and the kind's options} (docs/rewards.md).",
      },
    ),
    presets: Type.Record(Type.String({ minLength: 1 }), presetSchema, {
      default: {},
      description:
        "Model ids that stand for a strategy: name → {model, strategy, options, reward, holdout, budget}; `budget` is {tokens, reward_calls, ms}, each optional.",
    }),
    contextTokens: Type.Optional(
      Type.Integer({
        minimum: 16,
        description: "Prompt and completion together, in tokens. Unset: what the model accepts.",
      }),
    ),
    sequencesMax: Type.Integer({
      default: 64,
      minimum: 1,
      maximum: 4_096,
      description: "Sequences in one step of the engine.",
    }),
    cacheBytesMax: Type.Integer({
      default: 2048 * MiB,
      minimum: MiB,
      description:
        "Memory for the keys and values of sequences that run. What does not fit waits, or gives way and goes on later.",
    }),
    prefixBytesMax: Type.Integer({
      default: 256 * MiB,
      minimum: 0,
      description:
        "Memory, for the policy and for the reward model each, for keys and values of earlier prompts: a prompt that begins as one of them is not computed again so far. 0: none.",
    }),
    queueSequencesMax: Type.Integer({
      default: 1_024,
      minimum: 1,
      description: "Sequences waiting for the engine; beyond it a request gets `queue_full`.",
    }),
    requestCandidatesMax: Type.Integer({
      default: 128,
      minimum: 1,
      description: "Candidates that one request may ask for.",
    }),
    bodyBytesMax: Type.Integer({
      default: 4 * MiB,
      minimum: 1_024,
      description: "Size of a request body, and of a WebSocket message, in bytes.",
    }),
    socketAnswersMax: Type.Integer({
      default: 64,
      minimum: 1,
      description: "Answers running at once on one WebSocket.",
    }),
    keepAliveMs: Type.Integer({
      default: 15_000,
      minimum: 1,
      description: "A silent stream gets a comment this often, so that proxies keep it open.",
    }),
    stallMsMax: Type.Integer({
      default: 30_000,
      minimum: 1,
      description: "A reader that takes nothing of a stream for this long is cut off.",
    }),
    drainMsMax: Type.Integer({
      default: 30_000,
      minimum: 1,
      description: "Time that running answers get to finish when the server is told to stop.",
    }),
    logLevel: Type.Enum(["fatal", "error", "warn", "info", "debug", "trace", "silent"], {
      default: "info",
      description: "Least severe line that is written to standard error.",
    }),
  },
  { additionalProperties: false },
);

export type Settings = Static<typeof settingsSchema>;
export type SettingName = keyof Settings;

/** In the schema's order. */
export const settingNames = Object.keys(settingsSchema.properties) as readonly SettingName[]; // exactly its keys

/** `dataDir` → `PLUMBLINE_DATA_DIR` */
export const variableOf = (setting: string) =>
  `PLUMBLINE_${setting.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;

/** `dataDir` → `--data-dir` */
export const flagOf = (setting: string) =>
  `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
