/**
 * `npm run bench -- <suite> [--json] …`: what the engine costs, as ratios within one run, so that they mean the
 * same on every machine. Nothing is asserted; the aims are printed beside. README.md says what each suite measures.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { ggufTypes } from "../src/checkpoints/gguf.ts";
import { engineReport, measureEngineSuite } from "./engine-suite.ts";
import { growthReport, measureGrowth } from "./growth.ts";
import { modelNames } from "./peer-models.ts";
import { arePeersInstalled, measurePeers, type PeersMeasured } from "./peers.ts";
import { leastOf, peersReport, ratiosOf } from "./peers-report.ts";
import { measureStrategies, strategiesReport } from "./strategies.ts";
import { measureTrain } from "./train.ts";
import { trainRatios, trainReport } from "./train-report.ts";

/** Of a suite: what to print for a reader, and for a machine. */
interface Report {
  readonly text: string;
  readonly json: unknown;
}

const suites: Readonly<Record<string, () => Promise<Report>>> = {
  engine: benchEngine,
  peers: benchPeers,
  growth: benchGrowth,
  strategies: benchStrategies,
  train: benchTrain,
};
const { positionals, values: flags } = readFlags();
const suite = suites[positionals[0] ?? ""];
if (!suite) {
  refuse(`unknown suite '${positionals[0] ?? ""}'. Known: ${Object.keys(suites).join(", ")}.`);
}
const { text, json } = await suite();
console.log(flags.json ? JSON.stringify(json) : text);

async function benchEngine(): Promise<Report> {
  const measured = await measureEngineSuite();
  return { text: engineReport(measured), json: measured };
}

async function benchPeers(): Promise<Report> {
  if (!arePeersInstalled()) {
    refuse("the peers are not installed. Run: npm ci --prefix loadtests/peers");
  }
  const { threads, tokens, repeats } = counts();
  const type = oneOf("type", flags.type ?? "f32", ggufTypes);
  const models = flags.model ? [oneOf("model", flags.model, modelNames)] : modelNames;
  const measured: PeersMeasured[] = [];
  for (const model of models) {
    measured.push(await measurePeers({ model, type, threads, tokens, repeats }));
  }
  const ratios = leastOf(measured.map(ratiosOf));
  const byModel = measured.map((each) => [each.options.model, { ratios: ratiosOf(each), ...each }]);
  return {
    text: measured.map(peersReport).join("\n\n"),
    json: { ratios, models: Object.fromEntries(byModel) },
  };
}

async function benchGrowth(): Promise<Report> {
  const measured = await measureGrowth(counts());
  return { text: growthReport(measured), json: measured };
}

async function benchStrategies(): Promise<Report> {
  const measured = await measureStrategies(counts());
  return { text: strategiesReport(measured), json: measured };
}

async function benchTrain(): Promise<Report> {
  const { threads, repeats } = counts();
  const all = flags.small ? modelNames.filter((name) => name !== "qwen") : modelNames;
  const models = flags.model ? [oneOf("model", flags.model, modelNames)] : all;
  const cases = await measureTrain({ models, threads, repeats, python: pythonToCompare() });
  return { text: trainReport(cases), json: { ratios: trainRatios(cases), cases } };
}

/** `--against pytorch [python]` */
function pythonToCompare(): string | null {
  if (flags.against === undefined) return null;
  oneOf("against", flags.against, ["pytorch"]);
  return positionals[1] ?? "python3";
}

function readFlags() {
  const string = { type: "string" } as const;
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        json: { type: "boolean", default: false },
        model: string,
        type: string,
        threads: string,
        tokens: string,
        repeats: string,
        against: string,
        small: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function counts() {
  return {
    threads: count("threads", availableParallelism()),
    tokens: count("tokens", 64),
    repeats: count("repeats", 5),
  };
}

function count(name: "threads" | "tokens" | "repeats", usual: number): number {
  const value = Number(flags[name] ?? usual);
  if (Number.isSafeInteger(value) && value > 0) return value;
  return refuse(`--${name} '${flags[name]}' is not a positive integer.`);
}

function oneOf<T extends string>(name: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  return found ?? refuse(`--${name} '${given}' is not known. Known: ${known.join(", ")}.`);
}

function refuse(problem: string): never {
  console.error(`bench: ${problem}`);
  process.exit(2);
}
