/** Writes training data in any format that can hold it; after a failure the file is the old one, or none. */
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { writeFileAtomically } from "../base/atomic-file.ts";
import { GatewayError } from "../base/errors.ts";
import { RowFault } from "./fault.ts";
import type { Fields } from "./fields.ts";
import { layoutOf } from "./files/read-rows.ts";
import { MixedColumn, parquetBytes } from "./files/write-parquet.ts";
import type { DatasetFormat } from "./formats/define.ts";
import type { DatasetRow } from "./types.ts";

const PIECE_LENGTH = 1 << 16;

/**
 * Lines, a JSON array or a table, by the file's name. What a format has no field for, such as the margin of a pair, is left
 * out; what would make another row of it is refused.
 * @returns how many rows were written.
 * @throws GatewayError dataset_invalid for a row that the format cannot hold, dataset_unusable for a name of no known ending
 * or rows that no table holds, export_failed when the disk takes no more.
 */
export async function writeDataset(
  file: string,
  format: DatasetFormat,
  rows: Iterable<DatasetRow> | AsyncIterable<DatasetRow>,
): Promise<number> {
  const counted = { rows: 0 };
  const fields = fieldsOf(rows, format, counted);
  try {
    await writeFields(file, fields);
  } catch (cause) {
    if (!(cause instanceof Error && "syscall" in cause)) throw cause;
    throw new GatewayError("export_failed", { path: file, problem: cause.message }, { cause });
  }
  return counted.rows;
}

async function writeFields(file: string, fields: AsyncIterable<Fields>): Promise<void> {
  switch (layoutOf(file)) {
    case "jsonl":
      return writeText(file, linesOf(fields));
    case "json":
      return writeText(file, arrayOf(fields));
    case "parquet":
      return writeFileAtomically(file, [tableOf(file, await all(fields))]);
  }
}

async function* fieldsOf(
  rows: Iterable<DatasetRow> | AsyncIterable<DatasetRow>,
  format: DatasetFormat,
  counted: { rows: number },
): AsyncGenerator<Fields> {
  for await (const row of rows) {
    counted.rows++;
    yield written(row, format);
  }
}

function written(row: DatasetRow, format: DatasetFormat): Fields {
  const { name } = format;
  if (!format.write) {
    const problem = `'${name}' is a format to be read only`;
    throw new GatewayError("invalid_request", { param: "format", problem });
  }
  try {
    return format.write(row);
  } catch (error) {
    if (!(error instanceof RowFault)) throw error;
    const problem = `${error.message}, and cannot be written as '${name}'`;
    throw new GatewayError("dataset_invalid", { ...row.place, field: error.field, problem });
  }
}

async function* linesOf(rows: AsyncIterable<Fields>): AsyncGenerator<string> {
  for await (const row of rows) yield `${jsonOf(row)}\n`;
}

/** A call to the disk for each row would take longer than all else. */
async function* inPieces(parts: AsyncIterable<string>): AsyncGenerator<string> {
  let piece = "";
  for await (const part of parts) {
    piece += part;
    if (piece.length < PIECE_LENGTH) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}

async function* arrayOf(rows: AsyncIterable<Fields>): AsyncGenerator<string> {
  let before = "[\n";
  for await (const row of rows) {
    yield before + jsonOf(row);
    before = ",\n";
  }
  yield before === ",\n" ? "\n]\n" : "[]\n";
}

/** Numbers that JSON lacks become the texts that `numberOf` knows. */
const jsonOf = (row: Fields): string =>
  JSON.stringify(row, (_, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );

async function writeText(file: string, parts: AsyncIterable<string>): Promise<void> {
  const pieces = inPieces(parts);
  if (!/\.gz$/i.test(file)) return writeFileAtomically(file, pieces);
  const source = Readable.from(pieces);
  const zip = createGzip();
  source.on("error", (error) => zip.destroy(error)).pipe(zip);
  await writeFileAtomically(file, zip);
}

function tableOf(file: string, rows: readonly Fields[]): Uint8Array {
  try {
    return parquetBytes(rows);
  } catch (error) {
    if (!(error instanceof MixedColumn)) throw error;
    const remedy = "Write it as .jsonl.";
    throw new GatewayError("dataset_unusable", { file, problem: error.message, remedy });
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
