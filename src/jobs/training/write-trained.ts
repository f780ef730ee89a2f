/** A trained model's folder: checkpoint and tokenizer, or an adapter; report and card; the configuration last. */
import { mkdir, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { fillModelFolder } from "../../checkpoints/model-folder.ts";
import { fillAdapterFolder } from "../../checkpoints/write-adapter.ts";
import { trainedLora } from "../../train/lora.ts";
import type { TrainingState } from "../../train/trainer.ts";
import { type CardParts, cardText } from "./card.ts";
import { curvesOf, type MetricsLine, reportHtml } from "./report.ts";

export interface Trained extends CardParts {
  /** Those that were trained. */
  readonly weights: TrainingState;
  /** Of `metrics.jsonl`. */
  readonly lines: readonly MetricsLine[];
}

/** Without it no loader takes the folder for a model, or for an adapter. */
const LAST = /^(adapter_)?config\.json$/;

const stored = { float32: "F32", float16: "F16", bfloat16: "BF16", base: undefined } as const;

/** @param folder where the files are put together; then each moves to its place. */
export async function writeTrained(folder: string, trained: Trained): Promise<void> {
  const { options } = trained;
  await mkdir(folder, { recursive: true });
  await fill(folder, trained);
  for (const [name, text] of await textsOf(trained))
    await writeFileAtomically(join(folder, name), [text]);
  const names = await readdir(folder);
  const inOrder = names.toSorted((a, b) => Number(LAST.test(a)) - Number(LAST.test(b)));
  for (const name of inOrder) await rename(join(folder, name), join(options.out, name));
}

async function fill(folder: string, { base, options, weights }: Trained): Promise<void> {
  const { checkpoint, config } = base;
  const { lora, dtype } = options;
  if (!lora) {
    const weight = (name: string) => weights.get(name) ?? null;
    await fillModelFolder(folder, { base: checkpoint, config, weight, dtype: stored[dtype] });
    return;
  }
  const head = new Map([...weights].filter(([name]) => name.startsWith("score.")));
  await fillAdapterFolder(folder, {
    base: { folder: base.folder, config },
    settings: lora,
    matrices: trainedLora(config, lora, weights),
    ...(head.size > 0 && { head }),
  });
}

async function textsOf(trained: Trained): Promise<[name: string, text: string][]> {
  const { curvesSvg } = await import("../plots.ts"); // a second to load, which only the end waits for
  const svgs = new Map(
    [...curvesOf(trained.lines)].map(([name, curves]) => [name, curvesSvg(curves)]),
  );
  const report = reportHtml({
    title: `plumbline train ${trained.manifest["method"]}`,
    facts: trained.facts,
    manifest: trained.manifest,
    figures: [...svgs.values()],
  });
  return [
    ["loss.svg", svgs.get("loss") ?? ""],
    ["report.html", report],
    ["README.md", cardText(trained)],
  ];
}
