/** Which reader a file takes: by its name. */
import { GatewayError } from "../../base/errors.ts";
import { readJson } from "./json.ts";
import { readJsonl } from "./jsonl.ts";
import { readParquet } from "./parquet.ts";
import type { RawRow } from "./raw-row.ts";

/** As they are named in messages. */
const ENDINGS = ".jsonl, .json, either with .gz behind it, or .parquet";

/** What a file's name says that it holds. @throws GatewayError dataset_unusable */
export function layoutOf(file: string): "jsonl" | "json" | "parquet" {
  if (/\.(jsonl|ndjson)(\.gz)?$/i.test(file)) return "jsonl";
  if (/\.json(\.gz)?$/i.test(file)) return "json";
  if (/\.parquet$/i.test(file)) return "parquet";
  const problem = `its name does not end in ${ENDINGS}`;
  throw new GatewayError("dataset_unusable", { file, problem, remedy: "Rename it." });
}

/** @throws GatewayError dataset_unusable, also while it is read. */
export function readRows(file: string): AsyncGenerator<RawRow> {
  switch (layoutOf(file)) {
    case "jsonl":
      return readJsonl(file);
    case "json":
      return readJson(file);
    case "parquet":
      return readParquet(file);
  }
}
