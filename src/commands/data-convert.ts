/** `plumbline data convert`: training data in another format, or other training data made of it. */
import type { Command } from "commander";
import { GatewayError } from "../base/errors.ts";
import { DistinctRows } from "../datasets/duplicates.ts";
import { type Made, type MakeOptions, makeRows, makes } from "../datasets/make.ts";
import type { LabelRule } from "../datasets/pairing.ts";
import type { DatasetRow } from "../datasets/types.ts";
import {
  type FileAccount,
  type ReadFlags,
  readOptionsOf,
  refuseExisting,
  rowsOf,
  told,
  type Written,
  withReading,
  withWriting,
  writeRows,
  writtenText,
} from "./data-files.ts";
import { count, number, oneOf, part } from "./readers.ts";

const distinctRules = ["row", "prompt"] as const;

interface ConvertFlags extends ReadFlags {
  readonly out: string;
  readonly to?: string;
  readonly make?: MakeOptions["make"];
  readonly distinct?: (typeof distinctRules)[number];
  readonly share?: number;
  readonly gap?: number;
  readonly lengthPenalty?: number;
  readonly seed: number;
  readonly threshold?: number;
  readonly desirable?: number;
  readonly undesirable?: number;
}

export function addConvert(group: Command): void {
  withWriting(withReading(group.command("convert")))
    .description("write training data in another format, or make other rows of it")
    .requiredOption("--out <file>", "to be written; must not exist")
    .option(
      "--distinct <by>",
      "row: leave out rows that repeat one; prompt: all but the first of each",
      oneOf(distinctRules),
    )
    .option(
      "--make <what>",
      `of answers with rewards, or of pairs: ${makes.join(", ")}`,
      oneOf(makes),
    )
    .option("--share <part>", "top: of all answers, the best", part)
    .option("--gap <reward>", "pairs: rewards must differ by more (default 0.01)", number)
    .option("--length-penalty <reward>", "max_min_p: taken off for each character", number)
    .option("--threshold <reward>", "labels: desirable from here on", number)
    .option("--desirable <part>", "labels: the best of all answers (default 0.5)", part)
    .option("--undesirable <part>", "labels: the worst of all answers (default 0.5)", part)
    .option("--seed <number>", "of pairs that are drawn", count, 0)
    .action(convert);
}

async function convert(files: readonly string[], flags: ConvertFlags): Promise<void> {
  const { out, to, json } = flags;
  await refuseExisting("--out", out);
  const accounts: FileAccount[] = [];
  const distinct = flags.distinct === undefined ? null : new DistinctRows(flags.distinct);
  const rows = rowsOf(files, readOptionsOf(flags), accounts);
  const { make } = flags;
  const made =
    make === undefined ? null : makeRows(await all(rows), { make, ...makeOptionsOf(flags) });
  const written = await writeRows(out, to, passing(made?.rows ?? rows, distinct));
  const report = {
    files: accounts,
    gathering: made?.gathering ?? null,
    repeated: distinct?.dropped ?? 0,
    written,
  };
  console.log(json ? JSON.stringify(report) : [...told(accounts), ...lines(report)].join("\n"));
}

/** @throws GatewayError invalid_request */
function makeOptionsOf(flags: ConvertFlags): Omit<MakeOptions, "make"> {
  const { share, gap, lengthPenalty, seed } = flags;
  const label = labelRule(flags);
  return {
    seed,
    ...(share === undefined ? {} : { share }),
    ...(gap === undefined ? {} : { gapMin: gap }),
    ...(lengthPenalty === undefined ? {} : { lengthPenalty }),
    ...(label === null ? {} : { label }),
  };
}

function labelRule({ threshold, desirable, undesirable }: ConvertFlags): LabelRule | null {
  if (threshold !== undefined) return { threshold };
  if (desirable === undefined && undesirable === undefined) return null;
  const shares = { desirableShare: desirable ?? 0.5, undesirableShare: undesirable ?? 0.5 };
  if (shares.desirableShare + shares.undesirableShare <= 1) return shares;
  const problem = "the shares of desirable and undesirable answers are more than all";
  throw new GatewayError("invalid_request", { param: "--desirable", problem });
}

async function* passing(
  rows: Iterable<DatasetRow> | AsyncIterable<DatasetRow>,
  distinct: DistinctRows | null,
): AsyncGenerator<DatasetRow> {
  for await (const row of rows) if (distinct?.isNew(row) ?? true) yield row;
}

async function all(rows: AsyncIterable<DatasetRow>): Promise<DatasetRow[]> {
  const list: DatasetRow[] = [];
  for await (const row of rows) list.push(row);
  return list;
}

interface Report extends Pick<Made, "gathering"> {
  readonly repeated: number;
  readonly written: Written;
}

function lines({ gathering, repeated, written }: Report): string[] {
  const gathered = gathering
    ? `${gathering.answers} answers; left out: ${gathering.unrewarded} without a reward, ${gathering.empty} empty, ${gathering.repeated} repeated`
    : [];
  return [
    gathered,
    repeated > 0 ? `${repeated} rows repeated others` : [],
    writtenText(written),
  ].flat();
}
