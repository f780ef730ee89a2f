/** What commands share: the settings as flags, a seed, a bar while they run. */
import { SingleBar } from "cli-progress";
import type { Command, OptionValues } from "commander";
import { type Config, loadConfig } from "../base/config.ts";
import { flagOf, settingNames, settingsSchema } from "../base/settings.ts";
import { natural, oneOf } from "./readers.ts";

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

/** Of commands that read rows. @param what is in the file */
export const withReading = (command: Command, what: string): Command =>
  command
    .option("--data-format <name>", `of the ${what}; without it, the first rows tell`)
    .option(
      "--bad-rows <what>",
      "refuse or drop rows that cannot be used",
      oneOf(["refuse", "drop"]),
      "refuse",
    );

/** Of commands that measure. */
export const withSeed = (command: Command): Command =>
  command
    .option("--seed <number>", "of prompts and samples", natural, 2026)
    .option("--json", "one JSON object on standard output, for machines");

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
