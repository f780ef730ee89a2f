/** `plumbline data split`: a training and a held-out file that share no prompt. */
import type { Command } from "commander";
import { isHeldOut } from "../datasets/split.ts";
import type { DatasetRow } from "../datasets/types.ts";
import {
  type FileAccount,
  type ReadFlags,
  readOptionsOf,
  refuseExisting,
  rowsOf,
  told,
  withReading,
  withWriting,
  writeRows,
  writtenText,
} from "./data-files.ts";
import { count, part } from "./readers.ts";

interface SplitFlags extends ReadFlags {
  readonly train: string;
  readonly heldOut: string;
  readonly share: number;
  readonly seed: number;
  readonly to?: string;
}

export function addSplit(group: Command): void {
  withWriting(withReading(group.command("split")))
    .description("hold out a share of the prompts, each with all its rows")
    .requiredOption("--train <file>", "to be written; must not exist")
    .requiredOption("--held-out <file>", "to be written; must not exist")
    .option("--share <part>", "of the prompts, to be held out", part, 0.1)
    .option("--seed <number>", "another one holds out others", count, 0)
    .action(split);
}

/** The files are read once for each side, so that they need not fit into memory. */
async function split(files: readonly string[], flags: SplitFlags): Promise<void> {
  await refuseExisting("--train", flags.train);
  await refuseExisting("--held-out", flags.heldOut);
  const options = readOptionsOf(flags);
  const accounts: FileAccount[] = [];
  const side = (wanted: boolean, told: FileAccount[]) =>
    sideOf(rowsOf(files, options, told), flags, wanted);
  const train = await writeRows(flags.train, flags.to, side(false, accounts));
  const heldOut = await writeRows(flags.heldOut, flags.to, side(true, []));
  console.log(
    flags.json
      ? JSON.stringify({ files: accounts, train, heldOut })
      : [...told(accounts), ...[train, heldOut].map(writtenText)].join("\n"),
  );
}

async function* sideOf(
  rows: AsyncIterable<DatasetRow>,
  { share, seed }: SplitFlags,
  wanted: boolean,
): AsyncGenerator<DatasetRow> {
  for await (const row of rows) if (isHeldOut(row, { share, seed }) === wanted) yield row;
}
