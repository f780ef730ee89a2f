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

/**
 * Lines, a JSON array or a table, by the file's name. What a format has no field for, such as the margin of a pair, is left
 * out; what would make another row of it is refused.
 * @returns how many rows were written.
 * @throws GatewayError dataset_invalid for a row that the format cannot hold, dataset_unusable for a name of no known ending
 * or rows that no table holds.
 */
export async function writeDataset(
  file: string,
  format: DatasetFormat,
  rows: Iterable<DatasetRow> | AsyncIterable<DatasetRow>,
): Promise<number> {
  const counted = { rows: 0 };
  const fields = fieldsOf(rows, format, counted);
  switch (layoutOf(file)) {
    case "jsonl":
      await writeText(file, linesOf(fields));
      break;
    case "json":
      await writeText(file, arrayOf(fields));
      break;
    case "parquet":
      await writeFileAtomically(file, [tableOf(file, await all(fields))]);
      break;
  }
  return counted.rows;
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

function written(row: DatasetRow, { name, write }: DatasetFormat): Fields {
  if (!write) {
    const problem = `'${name}' is a format to be read only`;
    throw new GatewayError("invalid_request", { param: "format", problem });
  }
  try {
    return write(row);
  } catch (error) {
    if (!(error instanceof RowFault)) throw error;
    const problem = `${error.message}, and cannot be written as '${name}'`;
    throw new GatewayError("dataset_invalid", { ...row.place, field: error.field, problem });
  }
}

async function* linesOf(rows: AsyncIterable<Fields>): AsyncGenerator<string> {
  for await (const row of rows) yield `${jsonOf(row)}\n`;
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

async function writeText(file: string, parts: AsyncGenerator<string>): Promise<void> {
  if (!/\.gz$/i.test(file)) return writeFileAtomically(file, parts);
  const source = Readable.from(parts);
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
