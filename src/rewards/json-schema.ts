/**
 * Whether an answer is JSON that a schema accepts: `matched`, else `unmatched`. With `partial`, the share of what is
 * right, between the two: that it parses, each named property of the top level that is required or there, and the whole:
 * (1 + valid properties + whole) / (2 + properties). Without a schema: whether it is JSON. Cost: about 0.1 ms.
 * The JSON is the whole answer or, unless `strict`, its last fenced block. Drafts 3 to 2020-12, as typebox reads them;
 * unknown formats are accepted, references to other documents are refused.
 */
import { Type } from "typebox";
import { Check } from "typebox/schema";
import { GatewayError } from "../base/errors.ts";
import { createBounded } from "./bounded.ts";
import { defineReward } from "./define.ts";
import { fencedBlocks } from "./fenced.ts";
import { matchTime } from "./regex.ts";
import { revisionOf } from "./rule.ts";
import { rangeOf, worthOf, worthOptions } from "./verdict.ts";

type Schema = Readonly<Record<string, unknown>>;

export const jsonSchema = defineReward({
  name: "json-schema",
  description: "Whether the answer is JSON, and what a schema wants it to be.",
  isInline: true,
  options: Type.Object({
    schema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    partial: Type.Boolean({
      default: false,
      description: "whether what is partly right counts partly",
    }),
    strict: Type.Boolean({ default: false, description: "whether a fenced block is no JSON" }),
    ...worthOptions,
  }),
  create(id, options, { clock }) {
    const { schema = {}, partial, strict, unmatched } = options;
    refuseUnreadable(schema, []);
    const judge = partial ? shareOf : (value: unknown) => Number(Check(schema, value));
    return {
      id,
      revision: revisionOf("json-schema", options),
      acceptsPrefixes: false,
      range: rangeOf(worthOf(0, options), worthOf(1, options)),
      open() {
        // Patterns are the request's, and so may be hostile to their own text.
        const bounded = createBounded(matchTime, () => clock.elapsedMs());
        return {
          async score(text) {
            const parsed =
              parse(text) ?? (strict ? null : parse(fencedBlocks(text).at(-1)?.body ?? ""));
            if (!parsed) return unmatched;
            const verdict = bounded(() => judge(parsed.value, schema));
            if (!verdict)
              throw new GatewayError("reward_too_slow", { reward: id, limitMs: matchTime.callMs });
            return worthOf(verdict.value, options);
          },
          close: () => undefined,
        };
      },
    };
  },
});

function parse(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null; // which is the verdict
  }
}

/** @returns share of what is right, in [0, 1]; 1 only for what the schema accepts. */
function shareOf(value: unknown, schema: Schema): number {
  const properties = recordOf(schema["properties"]);
  const required = Array.isArray(schema["required"]) ? schema["required"].map(String) : [];
  const given = recordOf(value);
  const named = [...new Set([...Object.keys(properties), ...required])].filter(
    (name) => required.includes(name) || Object.hasOwn(given, name),
  );
  const valid = named.filter((name) => Check(propertySchema(schema, name), given)).length;
  return (1 + valid + Number(Check(schema, value))) / (2 + named.length);
}

/** What a schema wants of one property, which must be there, with the definitions that it may refer to. */
function propertySchema({ $defs, definitions, properties }: Schema, name: string): Schema {
  const own = recordOf(properties)[name] ?? true;
  return {
    $defs: $defs ?? {},
    definitions: definitions ?? {},
    properties: { [name]: own },
    required: [name],
  };
}

// JSON: any object's values are read by name.
const recordOf = (value: unknown) =>
  (typeof value === "object" && value !== null && !Array.isArray(value) ? value : {}) as Schema;

const types = ["object", "array", "string", "number", "integer", "boolean", "null"];
const data = new Set(["const", "enum", "default", "examples"]);

/** @throws GatewayError invalid_request for patterns, types and references that would judge otherwise than was meant. */
function refuseUnreadable(node: unknown, path: readonly string[]): void {
  const refuse = (key: string, problem: string): never => {
    const param = ["alignment.reward.schema", ...path, key].join(".");
    throw new GatewayError("invalid_request", { param, problem });
  };
  for (const [key, value] of Object.entries(node ?? {})) {
    if (data.has(key)) continue;
    if (key === "pattern" && typeof value === "string" && !isPattern(value))
      refuse(key, "is no regular expression");
    if (key === "$ref" && typeof value === "string" && !value.startsWith("#")) {
      refuse(key, "refers to another document; put it under $defs");
    }
    const unknown =
      key === "type" &&
      [value].flat().find((type) => typeof type === "string" && !types.includes(type));
    if (typeof unknown === "string")
      refuse(key, `'${unknown}' is no type; there are ${types.join(", ")}`);
    if (typeof value === "object") refuseUnreadable(value, [...path, key]);
  }
}

function isPattern(source: string): boolean {
  try {
    return new RegExp(source, "u") instanceof RegExp;
  } catch {
    return false; // which is the verdict
  }
}
