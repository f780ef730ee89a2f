/** What the commands over training data share: how files are read, what is told of it, how rows are written. */
import { access } from "node:fs/promises";
import type { Command } from "commander";
import { GatewayError } from "../base/errors.ts";
import type { DatasetFormat } from "../datasets/formats/define.ts";
import { formatOfKind, formats } from "../datasets/formats/index.ts";
import { formatNamed, openDataset, type ReadOptions, type ReadReport } from "../datasets/read.ts";
import type { DatasetRow } from "../datasets/types.ts";
import { writeDataset } from "../datasets/write.ts";
import { oneOf } from "./readers.ts";

export interface ReadFlags {
  readonly format?: string;
  readonly ignoreFields?: string;
  readonly reward?: string;
  readonly onInvalid?: "error" | "skip";
  readonly json?: true;
}

/** Of one file, complete when its rows have been read. */
export interface FileAccount extends ReadReport {
  readonly file: string;
  readonly format: string;
}

const PROBLEMS_TOLD = 20;

const names = (some: readonly DatasetFormat[]) => some.map(({ name }) => name).join(", ");
const writable = formats.filter((format) => "write" in format);

export const withReading = (command: Command): Command =>
  command
    .argument("<files...>", "of training data: .jsonl, .json, either with .gz behind it, .parquet")
    .option("--format <name>", `of the files: ${names(formats)}; without it the first rows tell`)
    .option("--ignore-fields <names>", "that no format knows: a list with commas, or 'all'")
    .option("--reward <name>", "of several rewards in the log of requests, the one to take")
    .option("--json", "one JSON object on standard output, for machines");

export const withWriting = (command: Command): Command =>
  command
    .option(
      "--on-invalid <what>",
      "error, or skip: leave out and count rows of no use",
      oneOf(["error", "skip"]),
      "error",
    )
    .option("--to <format>", `to write: ${names(writable)}; without it the one usual for the rows`);

export function readOptionsOf(flags: ReadFlags): ReadOptions {
  const { format, ignoreFields, reward, onInvalid = "error" } = flags;
  return {
    ...(format === undefined ? {} : { format }),
    ...(ignoreFields === undefined ? {} : { ignoreFields: fieldNames(ignoreFields) }),
    ...(reward === undefined ? {} : { reward }),
    onInvalid,
  };
}

/** The rows of all files, one after the other; `accounts` fills up as they are read. */
export async function* rowsOf(
  files: readonly string[],
  options: ReadOptions,
  accounts: FileAccount[] = [],
): AsyncGenerator<DatasetRow> {
  for (const file of files) {
    const { format, rows, report } = await openDataset(file, options);
    accounts.push(Object.assign(report, { file, format: format.name }));
    yield* rows;
  }
}

export interface Written {
  readonly file: string;
  readonly format: string;
  /** How many. */
  readonly rows: number;
}

/**
 * @throws GatewayError invalid_request without any row.
 */
export async function writeRows(
  file: string,
  to: string | undefined,
  rows: Iterable<DatasetRow> | AsyncIterable<DatasetRow>,
): Promise<Written> {
  const iterator = Symbol.iterator in rows ? rows[Symbol.iterator]() : rows[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done) {
    const problem = `there is no row to write to ${file}`;
    throw new GatewayError("invalid_request", { param: null, problem });
  }
  async function* all() {
    for (let next = first; !next.done; next = await iterator.next()) yield next.value;
  }
  const format = to === undefined ? formatOfKind[first.value.kind] : formatNamed(to);
  return { file, format: format.name, rows: await writeDataset(file, format, all()) };
}

export const writtenText = ({ file, format, rows }: Written): string =>
  `${file}: ${rows} rows written as '${format}'`;

/** @throws GatewayError invalid_request when something is there. */
export async function refuseExisting(param: string, path: string): Promise<void> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  const problem = `${path} exists; remove it, or name another file`;
  throw new GatewayError("invalid_request", { param, problem });
}

/** What was read and left out, a line for each file and reason, and for the first rows that were. */
export const told = (accounts: readonly FileAccount[]): string[] =>
  accounts.flatMap(({ file, format, read, skipped, problems }) => [
    `${file}: ${read} rows of the format '${format}'`,
    ...Object.entries(skipped).map(([reason, n]) => `  left out, ${reason}: ${n}`),
    ...problems
      .slice(0, PROBLEMS_TOLD)
      .map(
        ({ place, field, problem }) =>
          `  line ${place.line}${field === null ? "" : `, field '${field}'`}: ${problem}`,
      ),
  ]);

const fieldNames = (list: string) => (list === "all" ? list : list.split(","));
