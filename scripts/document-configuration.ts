/** Prints docs/configuration.md from the settings' schema: `npx tsx scripts/document-configuration.ts > docs/configuration.md`. */
import { pathToFileURL } from "node:url";
import type { TSchema } from "typebox";
import { flagOf, settingNames, settingsSchema, variableOf } from "../src/base/settings.ts";

/** The keywords of JSON Schema that settings use. */
interface Keywords {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly description?: string;
}

const introduction = `# Configuration

Every setting has one name in \`plumbline.yaml\` (or the file that \`PLUMBLINE_CONFIG\` names), one environment
variable and one flag. Flags win over variables, variables over the file. An unknown or wrong entry is refused
with the place where it stands. Lists are written with commas in variables and flags, maps as JSON.

\`\`\`yaml
# plumbline.yaml
port: 8080
presets:
  tiny-chat/careful:
    model: tiny-chat
    strategy: best-of-n
    options: { n: 32 }
    reward: tiny-reward
\`\`\`

| setting | variable | flag | type | default | meaning |
| --- | --- | --- | --- | --- | --- |`;

const conclusion = `
Rules that join settings: a \`host\` that is not loopback needs \`apiKeys\`; \`keepAliveMs\` is less than \`stallMsMax\`.
`;

export function configurationDocument(): string {
  const rows = settingNames.map((name) => {
    // A schema is JSON Schema as plain data.
    const schema: TSchema & Keywords = settingsSchema.properties[name];
    const names = [name, variableOf(name), flagOf(name)].map((text) => `\`${text}\``);
    return `| ${[...names, typeOf(schema), defaultOf(schema), schema.description].join(" | ")} |`;
  });
  return [introduction, ...rows, conclusion].join("\n");
}

function typeOf({ type, enum: values, minimum, maximum }: Keywords): string {
  if (values) return values.map((value) => `\`${value}\``).join(", ");
  if (type === "array") return "list of texts";
  if (type === "object") return "map";
  if (type === "string") return "text";
  if (type === "boolean") return "`true` or `false`";
  if (maximum === undefined) return `integer from ${minimum}`;
  return `integer from ${minimum} to ${maximum}`;
}

function defaultOf({ default: value }: Keywords): string {
  if (value === undefined) return "unset";
  if (typeof value === "object" || value === "") return "empty";
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  process.stdout.write(configurationDocument());
}
