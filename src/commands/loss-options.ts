/** The options of a loss as flags. */
import type { Command, OptionValues } from "commander";
import type { Static, TObject, TSchema } from "typebox";
import { compileOptions } from "../base/options.ts";
import type { Loss } from "../train/losses/define.ts";

/** @param fixed options that the command decides itself. */
export function withLossOptions(command: Command, { options }: Loss, fixed: object = {}): Command {
  for (const [name, schema] of Object.entries(options.properties))
    if (!(name in fixed)) addLossOption(command, name, schema);
  return command;
}

/** Those that were given, with the loss's defaults. @throws GatewayError invalid_request for one that it does not take so */
export function lossOptionsOf(
  loss: Loss,
  given: OptionValues,
  fixed: Readonly<Record<string, unknown>> = {},
): Static<TObject> {
  return compileOptions(loss, loss.name)({ ...givenLossOptions(loss, given), ...fixed });
}

/** Those that were given, unchecked. */
export function givenLossOptions({ options }: Loss, given: OptionValues): Record<string, unknown> {
  return Object.fromEntries(
    Object.keys(options.properties).flatMap((name) => {
      const value: unknown = given[camel(name)];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** An option of the loss as a flag; what its value may be, the loss's schema decides. */
function addLossOption(command: Command, name: string, schema: TSchema): void {
  const { description = "of the loss", default: preset, type } = schema as SchemaNotes;
  const flag = `--${name.replaceAll("_", "-")} <value>`;
  const read = (text: string): unknown => {
    if (type === "boolean") return text === "true" ? true : text === "false" ? false : text;
    return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  command.option(flag, `${description} (default: ${JSON.stringify(preset)})`, read);
}

/** What JSON Schema says of one option. */
interface SchemaNotes {
  readonly description?: string;
  readonly default?: unknown;
  readonly type?: string;
}
