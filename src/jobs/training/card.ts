/** The model card, as Hugging Face reads it: what the model was made of, how, and what came of it. */
import { basename } from "node:path";
import type { Base } from "./base.ts";
import type { TrainingOptions } from "./options.ts";
import type { PreparedData } from "./prepare.ts";
import type { TrainingSummary } from "./train.ts";
import type { Manifest } from "./work-folder.ts";

export interface CardParts {
  readonly options: Pick<TrainingOptions, "method" | "lora" | "dtype" | "out">;
  readonly base: Base;
  /** What is worth knowing first. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly data: Pick<PreparedData, "files" | "dropped">;
  readonly manifest: Manifest;
}

interface FactParts {
  readonly base: Base;
  readonly prepared: PreparedData;
  readonly summary: TrainingSummary;
}

/** Of a training on rows; for the card and the report. */
export function factsOf({ base, prepared, summary }: FactParts): [name: string, value: string][] {
  const { steps, stoppedEarly, keptStep, trainLoss, heldOutLoss } = summary;
  const number = (value: number | null) => (value === null ? "–" : value.toPrecision(5));
  return [
    ["method", summary.method],
    ["base", `${basename(base.folder)} (SHA-256 ${base.sha256.slice(0, 12)}…)`],
    ["examples", `${prepared.train.length}, and ${prepared.heldOut.length} held out`],
    ["steps", `${steps}${stoppedEarly ? ", stopped early" : ""}; weights of step ${keptStep}`],
    ["loss of the last step", number(trainLoss)],
    ["held-out loss", number(heldOutLoss)],
    ...prepared.facts.map(([name, value]): [string, string] => [name, value]),
  ];
}

export function cardText(parts: CardParts): string {
  const { options, base, facts, data, manifest } = parts;
  const name = basename(options.out);
  const table = (head: readonly string[], rows: readonly (readonly unknown[])[]) =>
    [head, head.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
  const dropped = Object.entries(data.dropped).map(([why, rows]) => `- ${rows} rows: ${why}`);
  const front = {
    base_model: basename(base.folder),
    library_name: options.lora ? "peft" : "transformers",
    pipeline_tag: options.method.isReward ? "text-classification" : "text-generation",
    tags: JSON.stringify([
      "plumbline",
      options.method.loss.name,
      ...(options.lora ? ["lora"] : []),
    ]),
  };
  const kind = options.method.isReward ? "reward model" : "language model";
  const made = options.lora ? `A LoRA adapter that makes a ${kind} of its base,` : `A ${kind}`;
  return `---
${Object.entries(front)
  .map(([key, value]) => `${key}: ${value}`)
  .join("\n")}
---
# ${name}

${made} trained by \`plumbline train ${options.method.loss.name}\`.

${table(["", ""], facts)}

![loss](loss.svg)

All curves are in \`report.html\`, the numbers of every step in \`metrics.jsonl\`.

## Data
${table(
  ["file", "rows", "SHA-256"],
  data.files.map(({ name: file, rows, sha256 }) => [file, rows, sha256]),
)}
${dropped.length > 0 ? `\nLeft out:\n${dropped.join("\n")}\n` : ""}
## Options
${table(
  ["option", "value"],
  Object.entries(manifest).filter(([, value]) => value !== null),
)}
`;
}
