/**
 * The configuration: `plumbline.yaml` (or PLUMBLINE_CONFIG), then `PLUMBLINE_*`, then flags; later
 * wins. A wrong or unknown entry is refused with where it stands. Nothing else reads `process.env`.
 */
import { existsSync, readFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import type { TSchema } from "typebox";
import { Value } from "typebox/value";
import { type Document, isMap, isScalar, LineCounter, parseDocument } from "yaml";
import { compileCheck, type Problem } from "./check.ts";
import { GatewayError } from "./errors.ts";
import { nearestName } from "./nearest.ts";
import {
  flagOf,
  type SettingName,
  type Settings,
  settingNames,
  settingsSchema,
  variableOf,
} from "./settings.ts";

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;
export type Config = DeepReadonly<Settings>;

type Texts = Readonly<Record<string, string | undefined>>;

export interface ConfigSources {
  /** Setting name → text, as the command line gives it; undefined is "not given". */
  readonly flags?: Texts;
  readonly environment?: Texts;
}

/** Where a part of a setting was given: "plumbline.yaml:3", "PLUMBLINE_PORT", "--port". */
type Place = (path: readonly string[]) => string;
type Given = ReadonlyMap<SettingName, { readonly value: unknown; readonly place: Place }>;

const check = compileCheck(settingsSchema);

/** @throws GatewayError config_invalid */
export function loadConfig({ flags = {}, environment = process.env }: ConfigSources = {}): Config {
  const given: Given = new Map([
    ...fromFile(environment["PLUMBLINE_CONFIG"]),
    ...fromEnvironment(environment),
    ...fromFlags(flags),
  ]);
  const values = Object.fromEntries([...given].map(([name, { value }]) => [name, value]));
  const settings = Value.Default(settingsSchema, values);
  const problem = check(settings) ?? contradiction(settings as Settings); // `check` has proved the type
  if (problem) throw invalid(given, problem);
  return deepFreeze(settings as Settings);
}

/**
 * A secret that a setting names by its environment variable, so that no file and no log holds it.
 * @throws GatewayError config_invalid when the variable is unset or empty.
 */
export function secretOf(variable: string, environment: Texts = process.env): string {
  const secret = environment[variable]?.trim();
  if (!secret) refuse(variable, "a reward names this variable for a key, and it is not set");
  return secret;
}

/** What the schema cannot say: rules that join settings. */
function contradiction(settings: Settings): Problem | null {
  const { host, apiKeys, storeUrl, keepAliveMs, stallMsMax } = settings;
  if (!isLoopback(host) && apiKeys.length === 0) {
    const problem = `makes the server reachable from other machines, and no API key is set; set ${variableOf("apiKeys")}, or listen on 127.0.0.1`;
    return { path: ["host"], problem };
  }
  if (storeUrl !== "") {
    return { path: ["storeUrl"], problem: "must be empty: only the embedded store exists so far" };
  }
  if (keepAliveMs >= stallMsMax) {
    const problem = `must be less than stallMsMax (${stallMsMax}), or a quiet stream looks stalled`;
    return { path: ["keepAliveMs"], problem };
  }
  return null;
}

const isLoopback = (host: string) =>
  host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));

function fromFile(named: string | undefined): Given {
  const path = named || "plumbline.yaml";
  if (!existsSync(path)) {
    if (named) refuse("PLUMBLINE_CONFIG", `there is no file ${path}`);
    return new Map();
  }
  const lines = new LineCounter();
  const document = parseDocument(readFileSync(path, "utf8"), { lineCounter: lines });
  const lineOf = (offset: number) => `${path}:${lines.linePos(offset).line}`;
  for (const error of document.errors) refuse(lineOf(error.pos[0]), error.message.split("\n")[0]!);
  const values: unknown = document.toJSON() ?? {};
  if (typeof values !== "object" || values === null || Array.isArray(values)) {
    refuse(path, "it must be a map of settings");
  }
  const place: Place = (at) => lineOf(offsetOf(document, at));
  return collect(Object.entries(values), new Map(settingNames.map((n) => [n, n])), place);
}

/** Where the deepest key of the path that the file holds begins. */
function offsetOf(document: Document, path: readonly string[]): number {
  for (let depth = path.length; depth > 0; depth--) {
    const owner = depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    if (!isMap(owner)) continue;
    for (const { key } of owner.items) {
      if (isScalar(key) && String(key.value) === path[depth - 1]) return key.range?.[0] ?? 0;
    }
  }
  return 0;
}

function fromEnvironment(environment: Texts): Given {
  const known = new Map(settingNames.map((name) => [variableOf(name), name]));
  const ours = Object.entries(environment).filter(
    ([variable]) => variable.startsWith("PLUMBLINE_") && variable !== "PLUMBLINE_CONFIG",
  );
  return collectTexts(ours, known);
}

function fromFlags(flags: Texts): Given {
  const known = new Map(settingNames.map((name) => [flagOf(name), name]));
  return collectTexts(
    Object.entries(flags).map(([name, text]) => [flagOf(name), text]),
    known,
  );
}

function collectTexts(
  entries: readonly (readonly [string, string | undefined])[],
  known: ReadonlyMap<string, SettingName>,
): Given {
  // An empty text is "not given", as compose files write it.
  const present = entries.filter(([, text]) => text);
  const values = present.map(([key, text]): [string, unknown] => {
    const name = known.get(key);
    return [key, name ? parseText(key, text!, settingsSchema.properties[name]) : text];
  });
  return collect(values, known);
}

const truths = [
  ["true", true],
  ["false", false],
] as const;

/** Texts become what the schema asks for; what does not fit stays text, and the check refuses it. */
function parseText(key: string, text: string, schema: TSchema): unknown {
  const { type } = schema as { type?: unknown }; // plain JSON Schema
  if (type === "array")
    return text
      .split(",")
      .map((item) => item.trim())
      .filter(Boolean);
  if (type === "integer") return /^-?\d+$/.test(text.trim()) ? Number(text) : text;
  if (type === "boolean") return new Map<string, unknown>(truths).get(text.trim()) ?? text;
  if (type !== "object") return text;
  const parsed = parseDocument(text);
  if (parsed.errors.length > 0) refuse(key, "it must be a JSON object");
  return parsed.toJSON();
}

/** @param known the source's spelling of every setting. */
function collect(
  entries: readonly (readonly [string, unknown])[],
  known: ReadonlyMap<string, SettingName>,
  placeInFile?: Place,
): Given {
  const given = new Map<SettingName, { value: unknown; place: Place }>();
  for (const [key, value] of entries) {
    const place = placeInFile ?? (() => key);
    const name = known.get(key);
    if (!name) {
      const nearest = nearestName(key, [...known.keys()]);
      const hint = nearest ? `; did you mean '${nearest}'?` : "";
      refuse(place([key]), `'${key}' is not known${hint}`);
    }
    given.set(name, { value, place });
  }
  return given;
}

function invalid(given: Given, { path, problem }: Problem): GatewayError {
  const place = given.get(path[0] as SettingName)?.place; // undefined for a default
  const source = place?.(path) ?? "defaults";
  return new GatewayError("config_invalid", { source, problem: `'${path.join(".")}' ${problem}.` });
}

function refuse(source: string, problem: string): never {
  throw new GatewayError("config_invalid", { source, problem: `${problem}.` });
}

function deepFreeze<T>(value: T): DeepReadonly<T> {
  if (typeof value === "object" && value !== null) Object.values(value).forEach(deepFreeze);
  return Object.freeze(value) as DeepReadonly<T>; // what freezing means to the compiler
}
