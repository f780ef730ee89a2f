/** What `npm run bench -- train` says: ratios within the run, and the tables with the figures behind them. */
import { type Row, rounded, tableOf } from "./table.ts";
import type { TrainCase } from "./train.ts";

/** Least shares and ratios, of each model; LoRA's speed over that of training all weights. */
export function trainRatios(cases: readonly TrainCase[]): Record<string, number> {
  const models = [...new Set(cases.map(({ model }) => model))];
  const entries = models.flatMap((model): [string, number][] => {
    const own = cases.filter((each) => each.model === model);
    const key = model.replaceAll("-", "_");
    const peers = own.flatMap((each) => ratioOf(each) ?? []);
    return [
      [`${key}_of_machine`, Math.min(...own.map(shareOf))],
      [`${key}_lora_over_full`, Math.min(...loraGains(own))],
      ...(peers.length > 0 ? [[`${key}_pytorch`, Math.min(...peers)] as [string, number]] : []),
    ];
  });
  return Object.fromEntries(entries);
}

const speedOf = ({ systems }: TrainCase) => systems["plumbline"]!.tokensPerSecond;

const shareOf = ({ flops, machineFlopsPerSecond, systems }: TrainCase) =>
  (1000 * flops) / systems["plumbline"]!.stepMs / machineFlopsPerSecond;

function ratioOf(each: TrainCase): number | null {
  const other = each.systems["pytorch"];
  return other ? speedOf(each) / other.tokensPerSecond : null;
}

function loraGains(cases: readonly TrainCase[]): number[] {
  return cases.flatMap((each) => {
    if (each.trains === "full") return [];
    const full = cases.find(({ method, trains }) => method === each.method && trains === "full");
    return full ? [speedOf(each) / speedOf(full)] : [];
  });
}

export function trainReport(cases: readonly TrainCase[]): string {
  const rows = Object.entries(trainRatios(cases)).map(([key, value]): Row => {
    if (key.endsWith("_of_machine")) {
      const aim = key.startsWith("tiny") ? "≥ 50" : "";
      return { what: `${key}, least`, value: 100 * value, unit: "%", aim };
    }
    return {
      what: `${key}, least`,
      value,
      unit: "×",
      ...(key.endsWith("pytorch") && { aim: "≥ 1" }),
    };
  });
  return [figures(cases), tableOf(rows)].join("\n\n");
}

function figures(cases: readonly TrainCase[]): string {
  const hasPeer = cases.some((each) => ratioOf(each) !== null);
  const titles = ["step", "tokens/s", "GFLOP/s", "of the machine", "peak memory, MiB"];
  const peerTitles = ["pytorch tokens/s", "peak memory, MiB", "over pytorch", "first losses"];
  const all = hasPeer ? [...titles, ...peerTitles] : titles;
  const lines = cases.map((each) => [...ownCells(each), ...(hasPeer ? peerCells(each) : [])]);
  return [all, all.map(() => "---"), ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

function ownCells(each: TrainCase): string[] {
  const { stepMs, tokensPerSecond, peakBytes } = each.systems["plumbline"]!;
  return [
    `${each.model}, ${each.method}, ${each.trains}`,
    rounded(tokensPerSecond),
    `${rounded(each.flops / stepMs / 1e6)} of ${rounded(each.machineFlopsPerSecond / 1e9)}`,
    `${rounded(100 * shareOf(each))} %`,
    mebibytes(peakBytes),
  ];
}

function peerCells(each: TrainCase): string[] {
  const [own, other] = [each.systems["plumbline"]!, each.systems["pytorch"]!];
  return [
    rounded(other.tokensPerSecond),
    mebibytes(other.peakBytes),
    `${rounded(ratioOf(each)!)} ×`,
    [own, other].map(({ firstLoss }) => firstLoss.toPrecision(6)).join(", "),
  ];
}

const mebibytes = (bytes: number | null) => (bytes === null ? "–" : rounded(bytes / 2 ** 20));
