/** Flags of `plumbline train` that one method has, and what they say. */
import { type Command, InvalidArgumentError, type OptionValues } from "commander";
import { Value } from "typebox/value";
import { GatewayError } from "../base/errors.ts";
import { stepSettings } from "../base/settings.ts";
import {
  type Conditioning,
  checkConditioning,
  controlPlaces,
} from "../jobs/training/conditional.ts";
import type { Method } from "../jobs/training/methods.ts";
import type { TrainingOptions } from "../jobs/training/options.ts";
import { neutrals } from "../jobs/training/step-marks.ts";
import { type StepSettings, stepConventions } from "../rewards/step-conventions.ts";
import { natural, number, oneOf, part } from "./readers.ts";

/** Tokens beyond hold little of a trained model's probability, and cost 8 bytes each for every token that is learned. */
const TEACHER_TOKENS = 64;
const CONTROL_WORDS = ["Quality: low.", "Quality: high."];

export function addOwnFlags(command: Command, { loss }: Method): void {
  if (loss.name === "distillation")
    command
      .requiredOption("--teacher <folder>", "checkpoint with the base's tokenizer, to learn from")
      .option(
        "--teacher-tokens <count>",
        "likeliest tokens that are kept of each place",
        natural,
        TEACHER_TOKENS,
      );
  if (takesPrefixes(loss))
    command.option("--prefixes", "judge every beginning of an answer, not its end alone");
  if (loss.family === "reward-point")
    command
      .option(
        "--step-convention <name>",
        "of rows of judged steps: how they are read, a name or JSON as PLUMBLINE_REWARD_STEPS",
        stepSettingsOf,
      )
      .option(
        "--neutral <what>",
        `what a step rated 0, between -1 and 1, is: ${neutrals.join(", ")}`,
        oneOf(neutrals),
        "good",
      );
  if (loss.name === "conditional-sft")
    command
      .option(
        "--control-words <text...>",
        `said before answers of each level, the worst first; without it, ${CONTROL_WORDS.map((word) => `"${word}"`).join(" ")}`,
      )
      .option("--thresholds <reward...>", "at which the next level begins", several(number))
      .option(
        "--quantiles <share...>",
        "of the rewards, at which the next level begins; without either, equal shares",
        several(part),
      )
      .option(
        "--control-place <role>",
        "whose message says the words: system, or the first line of the user's last",
        oneOf(controlPlaces),
        "system",
      );
}

/** Those of scores of one answer, without terms for demonstrations. */
const takesPrefixes = ({ family, name }: Method["loss"]) =>
  family === "reward-point" || name === "bradley-terry" || name === "pair-classification";

/** @throws GatewayError invalid_request */
export function ownOptions(
  { loss }: Method,
  given: OptionValues,
): Pick<TrainingOptions, "teacher" | "conditioning" | "stepReading" | "prefixes"> {
  if (loss.name === "distillation")
    return { teacher: { folder: given["teacher"], tokens: given["teacherTokens"] } };
  if (given["prefixes"] === true) {
    if (given["stepConvention"] === undefined) return { prefixes: true };
    throw new GatewayError("invalid_request", {
      param: "--prefixes",
      problem: "steps are judged where they end; leave out one of it and --step-convention",
    });
  }
  if (loss.family === "reward-point" && given["stepConvention"] !== undefined)
    return { stepReading: { settings: given["stepConvention"], neutral: given["neutral"] } };
  if (loss.name === "preference-model" && given["lora"] === true) {
    const problem = "an adapter does not say that its score is of two answers; train all weights";
    throw new GatewayError("invalid_request", { param: "--lora", problem });
  }
  if (loss.name === "conditional-sft") return { conditioning: conditioningOf(given) };
  return {};
}

function conditioningOf(given: OptionValues): Conditioning {
  const { controlWords: words = CONTROL_WORDS, thresholds, quantiles, controlPlace: place } = given;
  const equal = () => words.slice(1).map((_: string, i: number) => (i + 1) / words.length);
  const levels = thresholds ? { thresholds } : { quantiles: quantiles ?? equal() };
  const conditioning: Conditioning = { words, levels, place };
  if (thresholds && quantiles) {
    const problem = "it is given beside --thresholds; levels begin at one or the other";
    throw new GatewayError("invalid_request", { param: "--quantiles", problem });
  }
  checkConditioning(conditioning);
  return conditioning;
}

/** Commander calls it once a value, with those before it. */
const several =
  <T>(read: (text: string) => T) =>
  (text: string, before: readonly T[] | undefined): T[] => [...(before ?? []), read(text)];

/** A convention's name, or settings in JSON. */
function stepSettingsOf(text: string): StepSettings {
  const settings: unknown = text.trimStart().startsWith("{") ? parsed(text) : { convention: text };
  if (Value.Check(stepSettings, settings)) return settings;
  const known = Object.keys(stepConventions).join(", ");
  throw new InvalidArgumentError(
    `It must be one of ${known}, or {"convention": …} with what differs from it (docs/rewards.md).`,
  );
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // which is no setting, as the check then says
  }
}
