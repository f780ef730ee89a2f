/** JSON lines: one object a line. */
import { RowFault } from "../fault.ts";
import { isObject } from "../fields.ts";
import type { RawRow } from "./raw-row.ts";
import { readLines } from "./text.ts";

/** Empty lines are passed over, and counted by the line numbers. @throws GatewayError dataset_unusable */
export async function* readJsonl(file: string): AsyncGenerator<RawRow> {
  let line = 0;
  for await (const text of readLines(file)) {
    line++;
    if (text.trim() !== "") yield { place: { file, line }, fields: parseObject(text) };
  }
}

/** @returns the object that the text is, or what is wrong with it. */
export function parseObject(json: string): RawRow["fields"] {
  const value = parse(json);
  if (value instanceof RowFault || isObject(value)) return value;
  return new RowFault("not_json", null, "must be an object of named fields");
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    const quoted = withQuotedNumbers(json);
    if (quoted !== json) return parse(quoted);
    return new RowFault("not_json", null, `is not JSON (${(error as Error).message})`); // a SyntaxError
  }
}

/** Python writes numbers that JSON lacks as bare words; they become texts, which `numberOf` knows. */
function withQuotedNumbers(json: string): string {
  return json.replace(/"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g, (found) =>
    found.startsWith('"') ? found : `"${found}"`,
  );
}
