/** Flags of `plumbline train` that one method has, and what they say. */
import type { Command, OptionValues } from "commander";
import { GatewayError } from "../base/errors.ts";
import {
  type Conditioning,
  checkConditioning,
  controlPlaces,
} from "../jobs/training/conditional.ts";
import type { Method } from "../jobs/training/methods.ts";
import type { TrainingOptions } from "../jobs/training/options.ts";
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

/** @throws GatewayError invalid_request */
export function ownOptions(
  { loss }: Method,
  given: OptionValues,
): Pick<TrainingOptions, "teacher" | "conditioning"> {
  if (loss.name === "distillation")
    return { teacher: { folder: given["teacher"], tokens: given["teacherTokens"] } };
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
