/** Which reader a file takes: by its name. */
import { GatewayError } from "../../base/errors.ts";
import { readJsonl } from "./jsonl.ts";
import type { RawRow } from "./raw-row.ts";

/** @throws GatewayError dataset_unusable, also while it is read. */
export function readRows(file: string): AsyncGenerator<RawRow> {
  if (/\.(jsonl|ndjson)(\.gz)?$/i.test(file)) return readJsonl(file);
  const problem = "its name does not end in .jsonl or .jsonl.gz";
  throw new GatewayError("dataset_unusable", { file, problem, remedy: "Rename it." });
}
