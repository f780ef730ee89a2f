/** Rewards of every kind from folders, held to what Hugging Face's libraries make of the same files. */
import { cp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/base/clock.ts";
import { writeCheckpoint } from "../../src/checkpoints/checkpoint.ts";
import { weightShapes } from "../../src/checkpoints/weight-shapes.ts";
import { Turnstile } from "../../src/engine/turnstile.ts";
import { loadReward, type RewardOptions } from "../../src/registry/load-reward.ts";
import { isProcessReward, type ProcessReward, type Reward } from "../../src/rewards/define.ts";
import type { StepSettings } from "../../src/rewards/step-conventions.ts";
import { asReward, modelOf, type Published, tinyLlama } from "../support/configs.ts";
import { formulaWeights } from "../support/formula-weights.ts";
import { temporaryFolder, testRuntime } from "../support/workspace.ts";

const fixtures = join(import.meta.dirname, "..", "fixtures");
const never = new AbortController().signal;
const folder = temporaryFolder();
const runtime = testRuntime();

function load(path: string, more: Partial<RewardOptions> = {}) {
  const turnstile = new Turnstile(systemClock);
  return loadReward({ runtime, folder: path, provider: "cpu", threads: 1, turnstile, ...more });
}

/** Copies a fixture, for a test to spoil. */
async function copyOf(fixture: string, name: string): Promise<string> {
  const target = join(folder, name);
  await cp(join(fixtures, fixture), target, { recursive: true });
  return target;
}

async function changeJson(path: string, changes: Published): Promise<void> {
  const content: unknown = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, JSON.stringify({ ...(content as Published), ...changes }));
}

async function scoresOf(reward: Reward, question: string, answers: readonly string[]) {
  const session = reward.open({ messages: [{ role: "user", content: question }] }, never);
  const scores = await Promise.all(answers.map((answer) => session.score(answer)));
  session.close();
  return scores;
}

const readFixture = async <T>(path: string): Promise<T> =>
  JSON.parse(await readFile(join(fixtures, path), "utf8")); // written by scripts/fixtures/

interface PairCase {
  readonly question: string;
  readonly answer: string;
  readonly logits: readonly number[];
}

describe("a sequence classifier in an ONNX file", async () => {
  const { cases } = await readFixture<{ cases: Record<string, PairCase[]> }>(
    "classifiers/expected.json",
  );

  test.each([
    ["deberta", 0, {}],
    ["bert", 1, { label: "good" }],
    ["bert", 0, { label: "0" }],
    ["roberta", 0, {}], // its weights lie in a file beside it
  ])("%s gives transformers' logit %i, alone and in company", async (name, label, more) => {
    const { reward, engine } = await load(join(fixtures, "classifiers", name), more);
    const all = cases[name]!;
    const together = await Promise.all(
      all.map(async ({ question, answer }) => (await scoresOf(reward, question, [answer]))[0]!),
    );
    for (const [i, { question, answer, logits }] of all.entries()) {
      const [alone] = await scoresOf(reward, question, [answer]);
      expect(Math.abs(alone! - logits[label]!)).toBeLessThan(1e-4);
      expect(Math.abs(together[i]! - logits[label]!)).toBeLessThan(1e-4);
    }
    expect(all.length).toBeGreaterThan(10);
    await engine.dispose();
  });

  test("with a chat template reads the conversation in it", async () => {
    const path = await copyOf("classifiers/roberta", "chatting");
    const template =
      "<s>{% for m in messages %}{% if m.role == 'assistant' %}</s></s>{% endif %}{{ m.content }}{% endfor %}" +
      "{% if add_generation_prompt %}</s></s>{% else %}</s>{% endif %}"; // what the pair's template gives
    await changeJson(join(path, "tokenizer_config.json"), { chat_template: template });
    const { reward, engine } = await load(path);
    for (const { question, answer, logits } of cases["roberta"]!) {
      expect((await scoresOf(reward, question, [answer]))[0]).toBeCloseTo(logits[0]!, 4);
    }
    await engine.dispose();
  });

  test("is named after its folder, and its revision after its bytes", async () => {
    const path = await copyOf("classifiers/roberta", "renamed");
    const first = await load(path);
    expect(first.reward.id).toBe("renamed");
    await first.engine.dispose();
    const data = join(path, "onnx", "model.onnx_data");
    const bytes = await readFile(data);
    bytes[20]! ^= 1;
    await writeFile(data, bytes);
    const second = await load(path);
    expect(second.reward.revision).not.toBe(first.reward.revision);
    await second.engine.dispose();
  });

  test("a chosen file is served instead of the usual one", async () => {
    const path = await copyOf("classifiers/deberta", "variants");
    await cp(join(path, "onnx", "model.onnx"), join(path, "onnx", "model_quantized.onnx"));
    await rm(join(path, "onnx", "model.onnx"));
    await expect(load(path, { file: "onnx/model.onnx" })).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringMatching(/missing.*model_quantized\.onnx/),
    });
    const { reward, engine } = await load(path, { file: "onnx/model_quantized.onnx" });
    const [{ question, answer, logits }] = cases["deberta"] as [PairCase];
    expect((await scoresOf(reward, question, [answer]))[0]).toBeCloseTo(logits[0]!, 4);
    await engine.dispose();
  });

  test("with several labels is refused until one is named", async () => {
    const path = join(fixtures, "classifiers", "bert");
    const named = expect.stringMatching(/0 \(bad\), 1 \(good\)/);
    for (const more of [{}, { label: "great" }, { label: "2" }]) {
      await expect(load(path, more)).rejects.toMatchObject({
        code: "config_invalid",
        message: named,
      });
    }
  });

  test("of another task, or of an architecture that is nowhere served, is refused by name", async () => {
    const path = await copyOf("classifiers/deberta", "tagger");
    const config = join(path, "config.json");
    await changeJson(config, { architectures: ["DebertaV2ForTokenClassification"] });
    await expect(load(path)).rejects.toMatchObject({
      code: "architecture_unsupported",
      message: expect.stringMatching(/DebertaV2ForTokenClassification.*…ForSequenceClassification/),
    });
    await rm(join(path, "onnx"), { recursive: true });
    await expect(load(path)).rejects.toMatchObject({
      code: "architecture_unsupported",
      message: expect.stringMatching(
        /DebertaV2ForTokenClassification.*LlamaForSequenceClassification/,
      ),
    });
  });

  test("that is damaged, or gives other labels than it says, is refused", async () => {
    const path = await copyOf("classifiers/deberta", "damaged");
    await changeJson(join(path, "config.json"), { id2label: { 0: "a", 1: "b" } });
    await expect(load(path, { label: "a" })).rejects.toMatchObject({
      message: expect.stringMatching(/gives 1 logits and config\.json names 2/),
    });
    await truncate(join(path, "onnx", "model.onnx"), 50_000);
    await expect(load(path, { label: "a" })).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringContaining("model.onnx"),
    });
  });

  test("refuses what is longer than it reads, and cuts nothing", async () => {
    const { reward, engine } = await load(join(fixtures, "classifiers", "bert"), {
      label: "good",
      contextTokens: 16,
    });
    await expect(scoresOf(reward, "a", ["b ".repeat(12)])).resolves.toHaveLength(1);
    await expect(scoresOf(reward, "a", ["b ".repeat(13)])).rejects.toMatchObject({
      code: "answer_too_long",
      message: expect.stringMatching(/has 17 tokens.*accepts 16/),
    });
    const long = [{ role: "user", content: "a ".repeat(20) }];
    expect(() => reward.open({ messages: long }, never)).toThrow(/accepts 16/);
    await engine.dispose();
  });

  test("gives NaN where the model does", async () => {
    const path = await copyOf("classifiers/roberta", "nan");
    const data = join(path, "onnx", "model.onnx_data");
    const bytes = await readFile(data);
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(0x7fc00000, i);
    await writeFile(data, bytes);
    const { reward, engine } = await load(path);
    expect(await scoresOf(reward, "a", ["b"])).toEqual([Number.NaN]);
    await engine.dispose();
  });

  test("a request that is gone is not computed, and its neighbours are", async () => {
    const { reward, engine } = await load(join(fixtures, "classifiers", "deberta"));
    const gone = new AbortController();
    const prompt = { messages: [{ role: "user", content: "a" }] };
    const [leaving, staying] = [reward.open(prompt, gone.signal), reward.open(prompt, never)];
    const first = staying.score("b");
    const left = leaving.score("b");
    const second = staying.score("b");
    gone.abort(new Error("gone"));
    await expect(left).rejects.toThrow("gone");
    expect(await second).toBeCloseTo(await first, 5);
    await engine.dispose();
  });

  test("judges no steps", async () => {
    const steps = { convention: "trl" } as const;
    await expect(load(join(fixtures, "classifiers", "deberta"), { steps })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("whole answers"),
    });
  });
});

interface StepCase {
  readonly name: string;
  readonly tokenizer: string;
  readonly config: Published;
  readonly settings: StepSettings;
  readonly system: string;
  readonly question: string;
  readonly steps: readonly string[];
  readonly scores: readonly number[];
}

async function writeModel(name: string, config: Published, tokenizer: string): Promise<string> {
  const target = await copyOf(`process-rewards/${tokenizer}`, name);
  const model = modelOf(config);
  const weights = [...weightShapes(model)].map(([key, shape]) => {
    const data = formulaWeights(
      key,
      shape.reduce((product, n) => product * n, 1),
    );
    return [key, { shape, data }] as const;
  });
  await writeCheckpoint(target, model, new Map(weights), { dtype: "F32" });
  return target;
}

describe("a process reward", async () => {
  const { cases } = await readFixture<{ cases: StepCase[] }>("process-rewards/expected.json");
  const loadCase = async (
    { name, config, tokenizer, settings }: StepCase,
    more: Partial<StepSettings> = {},
  ) => {
    const path = await writeModel(name, config, tokenizer);
    const { reward, engine } = await load(path, { steps: { ...settings, ...more } });
    if (!isProcessReward(reward)) throw new Error("not a process reward");
    return { reward, engine };
  };
  /** As the reference was asked. */
  const messagesOf = ({ name, system, question }: StepCase) => [
    ...(name === "qwen_prm" ? [{ role: "system", content: system }] : []),
    { role: "user", content: question },
  ];
  const joined = (reward: ProcessReward, steps: readonly string[]) =>
    steps.join(reward.steps.separator);

  test.each(cases.map((each) => [each.name, each] as const))(
    "%s gives each step the published code's score, and so do its prefixes",
    async (_, each) => {
      const { reward, engine } = await loadCase(each);
      const session = reward.open({ messages: messagesOf(each) }, never);
      for (let n = each.steps.length; n > 0; n--) {
        const steps = each.steps.slice(0, n);
        const judged = await session.scoreSteps(joined(reward, steps));
        expect(judged.steps.map(({ text }) => text)).toEqual(steps);
        const worst = judged.steps.map(({ score }, i) => Math.abs(score - each.scores[i]!));
        expect(Math.max(...worst)).toBeLessThan(1e-4);
        expect(judged.reward).toBe(reward.steps.aggregate(judged.steps.map(({ score }) => score)));
        expect(await session.score(joined(reward, steps))).toBe(judged.reward);
      }
      session.close();
      await engine.dispose();
    },
  );

  test("the prompt is computed once for all answers", async () => {
    const { reward, engine } = await loadCase(cases[0]!);
    const session = reward.open({ messages: messagesOf(cases[0]!) }, never);
    await session.score("a");
    const { asked } = engine.stats.prefixes;
    await Promise.all(["b", "c"].map((text) => session.score(text)));
    expect(engine.stats.prefixes.asked).toBe(asked);
    expect(asked).toBeGreaterThan(40);
    session.close();
    await engine.dispose();
  });

  test("an answer without a step gets no judgement", async () => {
    const { reward, engine } = await loadCase(cases[0]!);
    expect(await scoresOf(reward, "a", ["", "\n\n \n\n"])).toEqual([Number.NaN, Number.NaN]);
    await engine.dispose();
  });

  test("a marker that a text spells is text, where it is a control token, and else refused", async () => {
    const [qwen, shepherd] = ["qwen_prm", "math_shepherd"].map(
      (name) => cases.find((each) => each.name === name)!,
    ) as [StepCase, StepCase];
    const forged = await loadCase(qwen);
    const session = forged.reward.open({ messages: messagesOf(qwen) }, never);
    expect((await session.scoreSteps("right<extra_0>wrong\n\nnext<extra_0>")).steps).toHaveLength(
      2,
    );
    session.close();
    await forged.engine.dispose();
    const spelled = await loadCase(shepherd);
    await expect(scoresOf(spelled.reward, "a", ["b ки c"])).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("ки"),
    });
    await spelled.engine.dispose();
  });

  test("settings change how steps are cut and weighed", async () => {
    const each = cases.find(({ name }) => name === "math_shepherd")!;
    const { reward, engine } = await loadCase(each, { aggregate: "product", separator: ";" });
    expect(reward.steps.split("a; b;;")).toEqual(["a", "b"]);
    expect(reward.steps.aggregate([0.5, 0.5])).toBe(0.25);
    await engine.dispose();
    const usual = await loadCase(each);
    expect(usual.reward.revision).not.toBe(reward.revision);
    await usual.engine.dispose();
  });

  test("a model that scores tokens or speaks is refused until its convention is named, and one that scores answers then", async () => {
    const each = cases.find(({ name }) => name === "trl")!;
    const path = await writeModel("plain", each.config, each.tokenizer);
    await expect(load(path)).rejects.toMatchObject({
      code: "architecture_unsupported",
      message: expect.stringMatching(/rewardSteps.*qwen2\.5-math-prm, math-shepherd, rlhflow, trl/),
    });
    const config = tinyLlama({ ...asReward, vocab_size: 300 });
    const whole = await writeModel("whole", config.files.config, each.tokenizer);
    await expect(load(whole, { steps: each.settings })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("whole answers"),
    });
  });

  test("marked words must be one token each, and a language model needs them", async () => {
    const each = cases.find(({ name }) => name === "rlhflow")!;
    const path = await writeModel("spoken", each.config, each.tokenizer);
    const steps = { ...each.settings, tokens: ["right", "-"] } as const;
    await expect(load(path, { steps })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringMatching(/'right' is \d tokens/),
    });
    await expect(load(path, { steps: { convention: "trl" } })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("name the two tokens"),
    });
  });

  test("a classifier of three classes needs to know which one is right", async () => {
    const each = cases.find(({ name }) => name === "trl")!;
    const config = { ...each.config, id2label: { 0: "bad", 1: "neutral", 2: "good" } };
    const path = await writeModel("three", config, each.tokenizer);
    await expect(load(path, { steps: each.settings })).rejects.toThrow(/2 \(good\); say which/);
    const { reward, engine } = await load(path, { steps: each.settings, label: "good" });
    const sum = await Promise.all(
      ["bad", "neutral"].map(async (label) => {
        const other = await load(path, { steps: each.settings, label });
        const [score] = await scoresOf(other.reward, each.question, each.steps.slice(0, 1));
        await other.engine.dispose();
        return score!;
      }),
    );
    const [good] = await scoresOf(reward, each.question, each.steps.slice(0, 1));
    expect(good! + sum[0]! + sum[1]!).toBeCloseTo(1, 6);
    await engine.dispose();
  });
});
