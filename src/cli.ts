#!/usr/bin/env node
/** The command line. Exit codes: 0 done, 1 a failure of ours, 2 something for the user to correct. */
import { Command, type OptionValues } from "commander";
import { GatewayError } from "./base/errors.ts";
import { addBatch } from "./commands/batch.ts";
import { addConvert } from "./commands/data-convert.ts";
import { addLogExport } from "./commands/data-export.ts";
import { addInspect } from "./commands/data-inspect.ts";
import { addSplit } from "./commands/data-split.ts";
import { addEmbedded } from "./commands/eval-embedded.ts";
import { addFormats } from "./commands/eval-formats.ts";
import { addPrefix } from "./commands/eval-prefix.ts";
import { addStrategies } from "./commands/eval-strategies.ts";
import { addTrainers } from "./commands/eval-trainers.ts";
import { addExport } from "./commands/models-export.ts";
import { addMerge } from "./commands/models-merge.ts";
import { configOf, withSettings } from "./commands/options.ts";
import { addTrain } from "./commands/train.ts";
import { serve } from "./main.ts";
import { version } from "./version.ts";

const EXIT_FAILED = 1;
const EXIT_USER = 2;

const program = new Command("plumbline")
  .description("Inference-time alignment: serve a policy with reward models, and measure it.")
  .version(version)
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USER));

withSettings(
  program.command("serve").description("serve the policy over HTTP and WebSocket"),
).action(async (options: OptionValues) => serve(configOf(options)));

addTrain(program);
addBatch(program);

const measures = program.command("eval").description("measure models, rewards and strategies");
for (const add of [addEmbedded, addPrefix, addStrategies, addTrainers, addFormats]) add(measures);

const checkpoints = program.command("models").description("work with checkpoints");
for (const add of [addExport, addMerge]) add(checkpoints);

const data = program.command("data").description("look at training data, convert it and split it");
for (const add of [addInspect, addConvert, addSplit, addLogExport]) add(data);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof GatewayError)) throw error;
  console.error(`plumbline: ${error.message}`);
  process.exitCode = error.status < 500 || isUserFault(error) ? EXIT_USER : EXIT_FAILED;
}

/** Settings and files are the user's, although over HTTP they would be the server's fault. */
function isUserFault({ code }: GatewayError): boolean {
  return code === "config_invalid" || code === "checkpoint_invalid" || code === "store_locked";
}
