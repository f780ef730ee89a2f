/** Reads training data of any format, row by row, and keeps account of what could not be used. */
import { GatewayError } from "../base/errors.ts";
import { nearestName } from "../base/nearest.ts";
import { checkRow } from "./checks.ts";
import { type FaultReason, RowFault } from "./fault.ts";
import { type Fields, isGiven } from "./fields.ts";
import type { RawRow } from "./files/raw-row.ts";
import { readRows } from "./files/read-rows.ts";
import type { DatasetFormat } from "./formats/define.ts";
import { formats } from "./formats/index.ts";
import type { DatasetPlace, DatasetRow } from "./types.ts";

export interface ReadOptions {
  /** A format's name; without it the first rows tell. */
  readonly format?: string;
  /** What becomes of a row that cannot be used: it ends the reading, or is left out and counted. */
  readonly onInvalid?: "error" | "skip";
  /** Fields that the format does not know and may stand there; "all": any. */
  readonly ignoreFields?: readonly string[] | "all";
  /** Of rows with rewards by several names, the one to take. */
  readonly reward?: string;
}

export interface RowProblem {
  readonly place: DatasetPlace;
  readonly reason: FaultReason;
  readonly field: string | null;
  readonly problem: string;
}

/** Grows while the rows are read. */
export interface ReadReport {
  /** Rows of the files, those left out included. */
  read: number;
  /** Left out, by reason. */
  readonly skipped: Partial<Record<FaultReason, number>>;
  /** The first hundred of them. */
  readonly problems: RowProblem[];
}

export interface Dataset {
  readonly format: DatasetFormat;
  readonly rows: AsyncIterable<DatasetRow>;
  readonly report: ReadReport;
}

const PROBLEMS_KEPT = 100;
/** Rows that must agree on the format. */
const ROWS_LOOKED_AT = 20;
/** Known to every format, and read by none. */
const COMMON_FIELDS = ["id", "metadata"];

/**
 * Looks at the first rows; the rest is read as `rows` is.
 * @throws GatewayError dataset_unusable, dataset_invalid; `rows` throws the latter as well.
 */
export async function openDataset(file: string, options: ReadOptions = {}): Promise<Dataset> {
  const rawRows = readRows(file);
  const first: RawRow[] = [];
  while (first.length < ROWS_LOOKED_AT) {
    const { value, done } = await rawRows.next();
    if (done) break;
    first.push(value);
  }
  const format = options.format ? formatNamed(options.format) : detectFormat(file, first);
  const report: ReadReport = { read: 0, skipped: {}, problems: [] };
  async function* all() {
    yield* first;
    yield* rawRows;
  }
  return { format, rows: rowsOf(all(), format, options, report), report };
}

/** The whole file in memory. @throws GatewayError dataset_unusable, dataset_invalid */
export async function loadDataset(
  file: string,
  options: ReadOptions = {},
): Promise<{ format: DatasetFormat; rows: DatasetRow[]; report: ReadReport }> {
  const { format, rows, report } = await openDataset(file, options);
  const loaded: DatasetRow[] = [];
  for await (const row of rows) loaded.push(row);
  return { format, rows: loaded, report };
}

/** @throws GatewayError invalid_request */
export function formatNamed(name: string): DatasetFormat {
  const found = formats.find((format) => format.name === name);
  if (found) return found;
  const known = formats.map((format) => format.name);
  const near = nearestName(name, known);
  const hint = near === null ? `there are ${known.join(", ")}` : `did you mean '${near}'?`;
  const problem = `'${name}' is not a format; ${hint}`;
  throw new GatewayError("invalid_request", { param: "format", problem });
}

async function* rowsOf(
  rawRows: AsyncIterable<RawRow>,
  format: DatasetFormat,
  options: ReadOptions,
  report: ReadReport,
): AsyncGenerator<DatasetRow> {
  for await (const raw of rawRows) {
    report.read++;
    const read = readRow(raw, format, options);
    if (read instanceof RowFault) refuse(read, raw.place, options, report);
    else yield* read;
  }
}

function readRow(
  { fields, place }: RawRow,
  format: DatasetFormat,
  options: ReadOptions,
): readonly DatasetRow[] | RowFault {
  if (fields instanceof RowFault) return fields;
  try {
    checkNames(fields, format, options.ignoreFields ?? []);
    const rows = format.read(
      fields,
      options.reward ? { place, reward: options.reward } : { place },
    );
    for (const row of rows) checkRow(row);
    return rows;
  } catch (error) {
    if (error instanceof RowFault) return error;
    throw error;
  }
}

function refuse(
  { reason, field, message: problem }: RowFault,
  place: DatasetPlace,
  options: ReadOptions,
  report: ReadReport,
): void {
  if (options.onInvalid !== "skip") {
    throw new GatewayError("dataset_invalid", { ...place, field, problem });
  }
  report.skipped[reason] = (report.skipped[reason] ?? 0) + 1;
  if (report.problems.length < PROBLEMS_KEPT) {
    report.problems.push({ place, reason, field, problem });
  }
}

function checkNames(
  fields: Fields,
  { name, fields: known }: DatasetFormat,
  ignored: readonly string[] | "all",
): void {
  if (ignored === "all") return;
  const strange = Object.keys(fields).find(
    (field) =>
      isGiven(fields[field]) &&
      !known.includes(field) &&
      !COMMON_FIELDS.includes(field) &&
      !ignored.includes(field),
  );
  if (strange === undefined) return;
  const near = nearestName(strange, known);
  const hint = near === null ? `which has ${known.join(", ")}` : `did you mean '${near}'?`;
  throw new RowFault("unknown_field", strange, `is not known to the format '${name}'; ${hint}`);
}

function detectFormat(file: string, first: readonly RawRow[]): DatasetFormat {
  const readable = first.flatMap(({ fields, place }) =>
    fields instanceof RowFault ? [] : [{ fields, place }],
  );
  const fault = first.find(({ fields }) => fields instanceof RowFault);
  if (readable.length === 0) throw noRow(file, fault);
  const format = formats.find((each) => each.recognises(readable[0]!.fields));
  if (!format) throw unrecognised(readable[0]!.fields, readable[0]!.place);
  for (const { fields, place } of readable) {
    const other = formats.find((each) => each.recognises(fields));
    if (!other || other === format) continue; // what is wrong with a row of no format, reading it tells
    const problem = `is of the format '${other.name}', the first row of '${format.name}'; give each a file, or name the format`;
    throw new GatewayError("dataset_invalid", { ...place, field: null, problem });
  }
  return format;
}

function noRow(file: string, fault: RawRow | undefined): GatewayError {
  if (fault?.fields instanceof RowFault) {
    const { field, message: problem } = fault.fields;
    return new GatewayError("dataset_invalid", { ...fault.place, field, problem });
  }
  const remedy = "Name a file with at least one row.";
  return new GatewayError("dataset_unusable", { file, problem: "it has no row", remedy });
}

/** Names the field that is nearest to one which a format would have known. */
function unrecognised(fields: Fields, place: DatasetPlace): GatewayError {
  const given = Object.keys(fields);
  const known = [...new Set(formats.flatMap((format) => format.fields))];
  for (const field of given) {
    const near = known.includes(field) ? null : nearestName(field, known);
    if (near === null) continue;
    const problem = `is no field of any format; did you mean '${near}'?`;
    return new GatewayError("dataset_invalid", { ...place, field, problem });
  }
  const problem = `the fields ${given.join(", ") || "(none)"} are those of no format; formats: ${formats
    .map(({ name }) => name)
    .join(", ")}`;
  return new GatewayError("dataset_invalid", { ...place, field: null, problem });
}
