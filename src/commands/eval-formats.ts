/** `plumbline eval formats`: what the policy loses, and gains, when its matrices are held in fewer bits. */
import type { Command, OptionValues } from "commander";
import { systemClock } from "../base/clock.ts";
import { corpusTexts, perplexity, piecesOf } from "../jobs/perplexity.ts";
import type { NumberFormat } from "../onnx/serving-weights.ts";
import type { Policy } from "../registry/types.ts";
import { loadModels } from "../setup/models.ts";
import { configOf, withSeed, withSettings } from "./options.ts";
import { readText } from "./readers.ts";

const FORMATS: readonly NumberFormat[] = ["float32", "int8", "int4"];
const CONVERSATIONS = 100;
/** Of a text file: enough for a figure of three digits. */
const PIECES_MAX = 50;
const SPEED_TOKENS = 128;

interface FormatRow {
  readonly format: NumberFormat;
  readonly perplexity: number;
  /** One sequence, after its prompt. */
  readonly tokensPerSecond: number;
}

export function addFormats(group: Command): void {
  const command = group
    .command("formats")
    .description("the policy's perplexity and speed by number format")
    .option(
      "--text <file>",
      "a text to predict; without it, held-out conversations of the embedded models' corpus",
    );
  withSettings(withSeed(command)).action(evaluate);
}

async function evaluate(options: OptionValues): Promise<void> {
  const { text, seed, json } = options;
  const held = text ? await readText("--text", text) : null;
  const rows: FormatRow[] = [];
  for (const format of FORMATS) {
    const models = await loadModels({ ...configOf(options), policyFormat: format });
    const { policy } = models;
    const texts = held
      ? piecesOf(policy, held).slice(0, PIECES_MAX)
      : corpusTexts(policy, CONVERSATIONS, seed);
    rows.push({
      format,
      perplexity: await perplexity(policy, texts),
      tokensPerSecond: await decodeSpeed(policy, texts[0]!.prompt),
    });
    await models.dispose();
  }
  console.log(json ? JSON.stringify(rows) : table(rows));
}

/** Median of three: tokens of one sequence over the seconds it took. */
async function decodeSpeed(policy: Policy, prompt: readonly number[]): Promise<number> {
  const { signal } = new AbortController();
  const speeds: number[] = [];
  for (let seed = 1; seed <= 3; seed++) {
    const started = systemClock.elapsedMs();
    const [answer] = await policy.generate(
      prompt,
      1,
      { ...policy.defaults, maxTokens: SPEED_TOKENS, seed },
      { signal },
    );
    speeds.push((1000 * answer!.tokens.length) / (systemClock.elapsedMs() - started));
  }
  return speeds.sort((a, b) => a - b)[1]!;
}

function table(rows: readonly FormatRow[]): string {
  const whole = rows[0]!;
  const lines = rows.map(({ format, perplexity: value, tokensPerSecond: speed }) => {
    const loss = 100 * (value / whole.perplexity - 1);
    const gain = speed / whole.tokensPerSecond;
    return `| ${format} | ${value.toFixed(3)} | ${loss.toFixed(2)} % | ${speed.toFixed(0)} | ${gain.toFixed(2)} × |`;
  });
  return [
    "| format | perplexity | loss | tokens/s, one sequence | over float32 |",
    "| --- | --- | --- | --- | --- |",
    ...lines,
  ].join("\n");
}
