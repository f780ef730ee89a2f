/** `plumbline data inspect`: what files of training data hold, and what is wrong with them. */
import type { Command } from "commander";
import { DatasetCounter, type DatasetStatistics, type Quantiles } from "../datasets/statistics.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import {
  type FileAccount,
  type ReadFlags,
  readOptionsOf,
  rowsOf,
  told,
  withReading,
} from "./data-files.ts";

interface InspectFlags extends ReadFlags {
  readonly tokenizer?: string;
}

export function addInspect(group: Command): void {
  withReading(group.command("inspect"))
    .description("format, statistics, and rows of no use with their lines")
    .option("--tokenizer <folder>", "of a checkpoint: lengths are counted in its tokens")
    .action(inspect);
}

async function inspect(files: readonly string[], flags: InspectFlags): Promise<void> {
  const tokenizer = flags.tokenizer === undefined ? null : await Tokenizer.load(flags.tokenizer);
  const counter = new DatasetCounter(
    tokenizer ? (text) => tokenizer.encode(text).length : undefined,
  );
  const accounts: FileAccount[] = [];
  const options = readOptionsOf({ ...flags, onInvalid: "skip" });
  for await (const row of rowsOf(files, options, accounts)) counter.add(row);
  const { statistics } = counter;
  const unit = tokenizer ? "tokens" : "characters";
  console.log(
    flags.json
      ? JSON.stringify({ files: accounts, unit, statistics })
      : [...told(accounts), ...described(statistics, unit)].join("\n"),
  );
}

function described(statistics: DatasetStatistics, unit: string): string[] {
  const { rows, kinds, prompts, duplicates, pairs, desirableShare, lists, steps } = statistics;
  const counts = Object.entries(kinds).map(([kind, n]) => `${n} ${kind}`);
  return [
    `${rows} rows (${counts.join(", ") || "none"}), ${prompts} different prompts, ${duplicates} repeated rows`,
    ...(pairs
      ? [
          `the chosen answer is the longer one in ${percent(pairs.chosenLongerShare)} of the pairs; ${pairs.contradictory} pairs contradict others`,
        ]
      : []),
    ...(desirableShare === null ? [] : [`${percent(desirableShare)} of the labels are desirable`]),
    ...(lists
      ? [
          `rewards are all the same in ${percent(lists.flatShare)} of the lists; ${lists.unrewarded} answers have none`,
        ]
      : []),
    ...(steps ? [`${steps.unjudged} steps are not judged`] : []),
    ...table(statistics, unit),
  ];
}

function table(
  { promptLength, answerLength, reward, pairs, lists, steps }: DatasetStatistics,
  unit: string,
): string[] {
  const measured: readonly [string, Quantiles | null | undefined][] = [
    [`prompt, ${unit}`, promptLength],
    [`answer, ${unit}`, answerLength],
    ["reward", reward],
    ["margin", pairs?.margin],
    ["answers of a list", lists?.answers],
    ["steps of an answer", steps?.steps],
    ["label of a step", steps?.label],
  ];
  const lines = measured.flatMap(([name, values]) => {
    if (!values) return [];
    const { mean, min, p5, p50, p95, max } = values;
    return [`| ${[name, ...[mean, min, p5, p50, p95, max].map(figure)].join(" | ")} |`];
  });
  return lines.length === 0
    ? []
    : [
        "| | mean | least | 5 % | half | 95 % | most |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        ...lines,
      ];
}

const figure = (value: number) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

const percent = (part: number) => `${(100 * part).toFixed(1)} %`;
