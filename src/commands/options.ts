/** What commands share: the settings as flags, counts, a seed, a bar while they run. */
import { SingleBar } from "cli-progress";
import { type Command, InvalidArgumentError, type OptionValues } from "commander";
import { type Config, loadConfig } from "../base/config.ts";
import { flagOf, settingNames, settingsSchema } from "../base/settings.ts";

/** Every setting of the configuration as a flag. */
export function withSettings(command: Command): Command {
  for (const [name, schema] of Object.entries(settingsSchema.properties)) {
    const { description } = schema as { description?: string }; // every setting has one: a test holds it
    command.option(`${flagOf(name)} <value>`, description);
  }
  return command;
}

/** @throws GatewayError config_invalid */
export function configOf(options: OptionValues): Config {
  const flags = settingNames.map((name) => [name, options[name] as string | undefined]); // withSettings asks for texts
  return loadConfig({ flags: Object.fromEntries(flags) });
}

/** Of commands that measure. */
export const withSeed = (command: Command): Command =>
  command
    .option("--seed <number>", "of prompts and samples", natural, 2026)
    .option("--json", "one JSON object on standard output, for machines");

/** 1, 2, 3, … */
export function natural(text: string): number {
  if (count(text) > 0) return Number(text);
  throw new InvalidArgumentError("It must be a positive integer.");
}

/** 0, 1, 2, … */
export function count(text: string): number {
  const number = Number(text);
  if (text.trim() !== "" && Number.isSafeInteger(number) && number >= 0) return number;
  throw new InvalidArgumentError("It must be an integer from 0 on.");
}

function number(text: string, isFine: (value: number) => boolean, wanted: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && isFine(value)) return value;
  throw new InvalidArgumentError(`It must be ${wanted}.`);
}

export const positive = (text: string) => number(text, (value) => value > 0, "a number above 0");
export const nonNegative = (text: string) =>
  number(text, (value) => value >= 0, "a number from 0 on");
export const share = (text: string) =>
  number(text, (value) => value >= 0 && value < 1, "a number from 0 to below 1");

/** A share of which there is some, or all. */
export const shareOrAll = (text: string) =>
  number(text, (value) => value > 0 && value <= 1, "a number above 0 to 1");
export const finite = (text: string) => number(text, () => true, "a number");

export const oneOf =
  <T extends string>(known: readonly T[]) =>
  (text: string): T => {
    const found = known.find((each) => each === text);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`It must be one of ${known.join(", ")}.`);
  };

/** Appears with the first thing that is done. */
export function progressBar() {
  const bar = new SingleBar({
    stream: process.stderr,
    format: "{bar} {percentage} %  {eta_formatted} left",
  });
  return {
    onProgress: (done: number, total: number) => {
      if (done === 1) bar.start(total, 0);
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
