/** A training's numbers as figures: an HTML page that stands alone. */
import type { Curves } from "../plots.ts";
import type { Manifest } from "./work-folder.ts";

/** A line of `metrics.jsonl`. */
export type MetricsLine = Readonly<Record<string, number | string>>;

/** Figures hold no more points than can be seen. */
const POINTS_MAX = 400;
const NO_METRICS = new Set(["step", "split", "tokens", "seconds"]);
const SPLITS = ["train", "held-out"] as const;

/** By metric, the loss first: what each step reported, and each evaluation. */
export function curvesOf(lines: readonly MetricsLine[]): Map<string, Curves> {
  const names = new Set(lines.flatMap((line) => Object.keys(line)));
  return new Map(
    [...names]
      .filter((name) => !NO_METRICS.has(name))
      .map((name) => [
        name,
        {
          title: name.replaceAll("_", " "),
          x: "step",
          series: SPLITS.flatMap((split) => {
            const points = pointsOf(lines, split, name);
            return points.length > 0 ? [{ name: split, points }] : [];
          }),
        },
      ]),
  );
}

/** Means of as many neighbours as it takes. */
function pointsOf(lines: readonly MetricsLine[], split: string, name: string) {
  const all = lines.flatMap((line): (readonly [number, number])[] =>
    line["split"] === split && typeof line[name] === "number"
      ? [[Number(line["step"]), line[name]]]
      : [],
  );
  const size = Math.ceil(all.length / POINTS_MAX);
  return Array.from({ length: Math.ceil(all.length / Math.max(1, size)) }, (_, i) => {
    const part = all.slice(i * size, (i + 1) * size);
    const mean = (k: 0 | 1) => part.reduce((sum, point) => sum + point[k], 0) / part.length;
    return [mean(0), mean(1)] as const;
  });
}

export interface ReportParts {
  readonly title: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
  readonly manifest: Manifest;
  readonly figures: readonly string[];
}

export function reportHtml({ title, facts, manifest, figures }: ReportParts): string {
  const table = (rows: readonly (readonly [string, unknown])[]) =>
    `<table>${rows
      .map(
        ([name, value]) => `<tr><th>${escaped(name)}</th><td>${escaped(String(value))}</td></tr>`,
      )
      .join("\n")}</table>`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${escaped(title)}</title>
<style>
body { font: 15px/1.5 sans-serif; color: #30343b; max-width: 1280px; margin: 2rem auto; padding: 0 1rem }
figure { display: inline-block; margin: 0 } th { text-align: left; padding-right: 2rem; font-weight: 600 }
td { font-family: monospace; overflow-wrap: anywhere }
</style>
<h1>${escaped(title)}</h1>
${table(facts)}
<h2>Curves</h2>
${figures.map((svg) => `<figure>${svg}</figure>`).join("\n")}
<h2>Command</h2>
${table(Object.entries(manifest))}
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const escaped = (text: string) => text.replace(/[&<>]/g, (character) => ENTITIES[character]!);
