#!/usr/bin/env node
/** The command line. Exit codes: 0 done, 1 a failure of ours, 2 something for the user to correct. */
import { Command, type OptionValues } from "commander";
import { loadConfig } from "./base/config.ts";
import { GatewayError } from "./base/errors.ts";
import { flagOf, settingsSchema } from "./base/settings.ts";
import { ggufTypes } from "./checkpoints/gguf.ts";
import { evaluateCommand } from "./evaluate-command.ts";
import { EXPORT_FORMATS, exportCommand } from "./export-command.ts";
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
).action(async (flags: OptionValues) => serve(loadConfig({ flags })));

withSettings(
  program
    .command("eval")
    .description("measure models")
    .argument(
      "<what>",
      "embedded: the embedded models on held-out prompts of their corpus; formats: the policy's perplexity and speed by number format; prefix: whether a reward's numbers for unfinished answers say which will be good",
    )
    .option(
      "--text <file>",
      "formats: a text to predict; without it, held-out conversations of the corpus",
    )
    .option("--reward <id>", "prefix: a configured reward; without it, the reward model")
    .option("--prompts <count>", "held-out prompts of each domain", "400")
    .option("--samples <count>", "candidates of each prompt", "16")
    .option("--pairs <count>", "held-out preference pairs", "800")
    .option("--seed <number>", "of prompts and samples", "2026")
    .option("--trials <file>", "strategies: a YAML list of what to compare")
    .option("--out <folder>", "strategies: for results, tables and figures")
    .option("--json", "one JSON object on standard output, for machines"),
).action(evaluateCommand);

program
  .command("models")
  .description("work with checkpoints")
  .command("export")
  .description(
    "write a checkpoint for other programs; onnx: a folder as transformers.js reads it, gguf: a file for llama.cpp",
  )
  .argument("<folder>", "of the checkpoint: one that serves")
  .option("--format <name>", EXPORT_FORMATS.join(", "), EXPORT_FORMATS[0])
  .option("--type <name>", `gguf: of the matrices, ${ggufTypes.join(" or ")}`, ggufTypes[0])
  .requiredOption("--out <path>", "to be written; a file must not exist, a folder may be empty")
  .action(exportCommand);

/** Every setting of the configuration as a flag. */
function withSettings(command: Command): Command {
  for (const [name, schema] of Object.entries(settingsSchema.properties)) {
    const { description } = schema as { description?: string }; // every setting has one: a test holds it
    command.option(`${flagOf(name)} <value>`, description);
  }
  return command;
}

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
