/** What commands share: the settings as flags, counts, a seed, a bar while they run. */
import { SingleBar } from "cli-progress";
import { type Command, InvalidArgumentError, type OptionValues } from "commander";
import { type Config, loadConfig } from "../base/config.ts";
import { GatewayError } from "../base/errors.ts";
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

/** Any finite number. */
export function number(text: string): number {
  if (text.trim() !== "" && Number.isFinite(Number(text))) return Number(text);
  throw new InvalidArgumentError("It must be a number.");
}

/** Part of a whole: more than 0, less than 1. */
export function share(text: string): number {
  const part = Number(text);
  if (part > 0 && part < 1) return part;
  throw new InvalidArgumentError("It must be a number between 0 and 1.");
}

/** @throws GatewayError invalid_request */
export function oneOf<T extends string>(param: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  if (found !== undefined) return found;
  const problem = `'${given}' is not known; there is ${known.join(", ")}`;
  throw new GatewayError("invalid_request", { param, problem });
}

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
