/** A trained model's folder: checkpoint, tokenizer, report and card, `config.json` last. */
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { writeCheckpoint } from "../../checkpoints/checkpoint.ts";
import { copyTokenizer } from "../../checkpoints/tokenizer-copy.ts";
import { weightShapes } from "../../checkpoints/weight-shapes.ts";
import type { TrainingState } from "../../train/trainer.ts";
import { type CardParts, cardText, factsOf } from "./card.ts";
import { curvesOf, type MetricsLine, reportHtml } from "./report.ts";

export interface Trained extends CardParts {
  readonly weights: TrainingState;
  /** Of `metrics.jsonl`. */
  readonly lines: readonly MetricsLine[];
}

/** Without it no loader takes the folder for a model. */
const LAST = "config.json";

/** @param folder where the files are put together; then each moves to its place. */
export async function writeTrained(folder: string, trained: Trained): Promise<void> {
  const { base, options, weights } = trained;
  await mkdir(folder, { recursive: true });
  const shaped = [...weightShapes(base.config)].map(
    ([name, shape]) => [name, { shape, data: weights.get(name)! }] as const,
  );
  const dtype = options.dtype === "float32" ? "F32" : "F16";
  await writeCheckpoint(folder, base.config, new Map(shaped), { dtype });
  await copyTokenizer(base.folder, folder);
  for (const [name, text] of await textsOf(trained))
    await writeFileAtomically(join(folder, name), [text]);
  const names = (await readdir(folder)).filter((name) => name !== LAST);
  for (const name of [...names, LAST]) await rename(join(folder, name), join(options.out, name));
}

async function textsOf(trained: Trained): Promise<[name: string, text: string][]> {
  const { curvesSvg } = await import("../plots.ts"); // a second to load, which only the end waits for
  const svgs = new Map(
    [...curvesOf(trained.lines)].map(([name, curves]) => [name, curvesSvg(curves)]),
  );
  const report = reportHtml({
    title: `plumbline train ${trained.summary.method}`,
    facts: factsOf(trained),
    manifest: trained.manifest,
    figures: [...svgs.values()],
  });
  return [
    ["loss.svg", svgs.get("loss") ?? ""],
    ["report.html", report],
    ["README.md", cardText(trained)],
  ];
}
