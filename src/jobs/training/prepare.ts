/** Files of rows → examples to train on and examples held out, or a list of what is wrong with them. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { GatewayError } from "../../base/errors.ts";
import { loadDataset } from "../../datasets/read.ts";
import { isHeldOut } from "../../datasets/split.ts";
import type { DatasetPlace, DatasetRow } from "../../datasets/types.ts";
import type { Example, Material } from "./define-material.ts";
import { type RowFormat, UnusableRow } from "./encode-rows.ts";
import type { Method } from "./methods.ts";
import type { DataOptions } from "./options.ts";

export interface PreparedData {
  readonly train: readonly Example[];
  readonly heldOut: readonly Example[];
  readonly files: readonly DataFile[];
  /** Rows left out, by what was wrong with them. */
  readonly dropped: Readonly<Record<string, number>>;
  /** What the method made of the rows, in words for the card. */
  readonly facts: readonly (readonly [name: string, value: string])[];
}

export interface DataFile {
  readonly name: string;
  readonly sha256: string;
  readonly rows: number;
}

const PROBLEMS_NAMED = 5;

interface Reading {
  readonly method: Method;
  readonly material: Material;
  readonly format: RowFormat;
  readonly contextTokens: number;
  readonly seed: number;
}

/** @throws GatewayError training_rows_unusable, dataset_invalid, dataset_unusable, invalid_request */
export async function prepareData(options: DataOptions, reading: Reading): Promise<PreparedData> {
  const faults: Faults = [];
  const rowsOf = (files: readonly string[]) =>
    Promise.all(files.map((file) => readFileRows(file, options, faults)));
  const found = { given: await rowsOf(options.files), apart: await rowsOf(options.heldOutFiles) };
  const split = { share: options.heldOut, seed: reading.seed };
  const isHeldRow = (row: DatasetRow) => found.apart.length === 0 && isHeldOut(row, split);
  const isHeld = ({ row }: Read) => isHeldRow(row);
  const known = found.given.flatMap(({ rows }) => rows.filter((row) => !isHeldRow(row)));
  const informed = reading.material.informed?.(known);
  const read = (files: typeof found.given) =>
    files.map(({ file, rows }) => ({
      file,
      read: encodeAll(rows, informed ? { ...reading, material: informed } : reading, faults),
    }));
  const [given, apart] = [read(found.given), read(found.apart)];
  if (faults.length > 0 && options.badRows === "refuse") throw unusable(faults);
  const all = given.flatMap((each) => each.read);
  const whole = (some: readonly Read[]) => {
    const examples = some.map(({ example }) => example);
    return reading.material.complete(examples, reading.contextTokens);
  };
  const train = whole(all.filter((each) => !isHeld(each)));
  const held = apart.length > 0 ? apart.flatMap((each) => each.read) : all.filter(isHeld);
  if (train.length === 0) throw nothingLeft(options.files, faults);
  return {
    train,
    heldOut: whole(held),
    files: [...given, ...apart].map(({ file }) => file),
    dropped: counted(faults),
    facts: informed?.facts ?? [],
  };
}

function counted(faults: Faults): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { problem } of faults) counts[problem] = (counts[problem] ?? 0) + 1;
  return counts;
}

type Faults = (DatasetPlace & { readonly problem: string })[];

interface Read {
  readonly row: DatasetRow;
  readonly example: Example;
}

async function readFileRows(
  path: string,
  { format, rewardName, badRows }: DataOptions,
  faults: Faults,
): Promise<{ file: DataFile; rows: readonly DatasetRow[] }> {
  const { rows, report } = await loadDataset(path, {
    ...(format !== null && { format }),
    ...(rewardName !== null && { reward: rewardName }),
    onInvalid: badRows === "drop" ? "skip" : "error",
  });
  for (const { place, problem } of report.problems) faults.push({ ...place, problem });
  return {
    file: { name: basename(path), sha256: await hashOfFile(path), rows: report.read },
    rows,
  };
}

function encodeAll(rows: readonly DatasetRow[], reading: Reading, faults: Faults): Read[] {
  const { method, material, format, contextTokens } = reading;
  return rows.flatMap((row) => {
    if (!method.rows.includes(row.kind)) throw wrongKind(row, method);
    try {
      const examples = material.read(row, format);
      for (const { lengths } of examples) refuseTooLong(Math.max(...lengths), contextTokens);
      return examples.map((example) => ({ row, example }));
    } catch (error) {
      const problem = problemOf(error);
      faults.push({ ...row.place, problem });
      return [];
    }
  });
}

/** What makes a row unusable; anything else is thrown on. */
function problemOf(error: unknown): string {
  if (error instanceof UnusableRow) return error.message;
  const isTemplates = error instanceof GatewayError && error.code === "invalid_request";
  if (isTemplates) return error.message;
  throw error;
}

function refuseTooLong(tokens: number, limit: number): void {
  if (tokens > limit) throw new UnusableRow(`it has more tokens than the context of ${limit}`);
}

function wrongKind({ kind, place }: DatasetRow, { loss, rows }: Method): GatewayError {
  const wanted = rows.map((each) => KINDS[each]).join(" or ");
  const problem = `${loss.name} learns from ${wanted}, and this is ${KINDS[kind]}`;
  return new GatewayError("dataset_invalid", { ...place, field: null, problem });
}

const KINDS: Readonly<Record<DatasetRow["kind"], string>> = {
  supervised: "a prompt with its answer",
  pair: "a chosen and a rejected answer",
  rated: "an answer that is good or bad",
  list: "answers with rewards",
  steps: "an answer in judged steps",
  prompt: "a prompt alone",
};

function unusable(faults: Faults): GatewayError {
  const problems = faults.slice(0, PROBLEMS_NAMED);
  return new GatewayError("training_rows_unusable", { problems, total: faults.length });
}

function nothingLeft(files: readonly string[], faults: Faults): GatewayError {
  if (faults.length > 0) return unusable(faults);
  const remedy = "Give it rows, or lower --held-out.";
  const problem = "there is no row to train on";
  return new GatewayError("dataset_unusable", { file: files.join(", "), problem, remedy });
}

async function hashOfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest("hex");
}
