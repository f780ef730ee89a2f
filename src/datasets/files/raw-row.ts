/** A row as a file has it, before any format is known. */
import type { RowFault } from "../fault.ts";
import type { Fields } from "../fields.ts";
import type { DatasetPlace } from "../types.ts";

export interface RawRow {
  readonly place: DatasetPlace;
  /** Or why there are none: a line that is not JSON. */
  readonly fields: Fields | RowFault;
}
