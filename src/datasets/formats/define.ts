/** What a format of training data is: how its rows are recognised, read and written. */
import { RowFault } from "../fault.ts";
import type { Fields } from "../fields.ts";
import type { DatasetPlace, DatasetRow } from "../types.ts";

export type { Fields } from "../fields.ts";

export interface ReadContext {
  readonly place: DatasetPlace;
  /** Of several rewards in a row, the one to take. */
  readonly reward?: string;
}

export interface DatasetFormat {
  /** As `--format` says it. */
  readonly name: string;
  /** For people: where it comes from. */
  readonly source: string;
  /** Kinds of rows that it reads and writes. */
  readonly kinds: readonly DatasetRow["kind"][];
  /** Every field that it knows; another one is a mistake of whoever wrote it. */
  readonly fields: readonly string[];
  /** Whether names and types of the fields are this format's. */
  recognises(fields: Fields): boolean;
  /** Mostly one row. @throws RowFault */
  read(fields: Fields, context: ReadContext): readonly DatasetRow[];
  /**
   * The fields that `read` makes the same row of; absent for formats that are only read.
   * @throws RowFault when the format cannot hold the row.
   */
  write?(row: DatasetRow): Fields;
}

/** @throws RowFault when a format is asked to write a kind of row that it does not have. */
export function wantKind<K extends DatasetRow["kind"]>(
  row: DatasetRow,
  kind: K,
): Extract<DatasetRow, { kind: K }> {
  // Boundary: the union's members are told apart by their kind.
  if (row.kind === kind) return row as Extract<DatasetRow, { kind: K }>;
  throw new RowFault("wrong_field", null, `a ${row.kind} row cannot be written in this format`);
}
