/** The rules of ARCHITECTURE.md and CONTRIBUTING.md that a program can check. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { expect, test } from "vitest";

/** Imports point left only; folders of one group never import each other. The same line is in ARCHITECTURE.md. */
const LAYERS = [
  ["base"],
  ["onnx", "text", "corpus"],
  ["checkpoints", "datasets"],
  ["engine", "train", "store"],
  ["rewards"],
  ["registry"],
  ["strategies"],
  ["gateway"],
  ["jobs"],
  ["http"],
  ["setup"],
  ["commands"],
];

/** Things that may appear in one place only. */
const ONLY_IN: readonly [RegExp, RegExp][] = [
  [/from "(onnxruntime-node|koffi)"/, /^onnx\/runtime\//],
  [/from "@bufbuild\/protobuf/, /^onnx\/(encode\.ts$|generated\/)/],
  [/from "@huggingface\/tokenizers"/, /^text\/(classifier-)?tokenizer\.ts$/],
  [/from "fastify"/, /^http\//],
  [/from "hyparquet/, /^datasets\/files\/(write-)?parquet\.ts$/],
  [/from "prom-client"/, /^base\/metrics\.ts$/],
  [/from "echarts/, /^jobs\/plots\.ts$/],
  [/process\.env/, /^base\/config\.ts$/],
  [/Math\.random\(/, /^base\/random\.ts$/],
  [/Date\.now\(/, /^base\/clock\.ts$/],
];
const FUNCTION_LINES_MAX = 70;
const FILE_LINES_MAX = 450;
const SRC = join(import.meta.dirname, "../src");
const ENTRY_POINTS = /^(main|cli)\.ts$|worker\.ts$/;

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Paths are relative to src/, also those outside of it. */
function filesIn(root: string): SourceFile[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.includes("generated"))
    .map((path) => ({
      path: relative(SRC, join(root, path)),
      text: readFileSync(join(root, path), "utf8"),
    }));
}

const files = filesIn(SRC);
const recipe = filesIn(join(SRC, "../models/recipe"));

const imports = ({ path, text }: SourceFile) =>
  [...text.matchAll(/(?:from|import\() ?"(\.[^"]+)"/g)].map((match) =>
    relative(SRC, join(SRC, dirname(path), match[1]!)),
  );
/** Files directly in src/ are the composition roots: the last layer, one folder of its own. */
const folder = (path: string) => (path.includes("/") ? path.split("/")[0]! : "src");
const layer = (path: string) =>
  path.includes("/") ? LAYERS.findIndex((group) => group.includes(folder(path))) : LAYERS.length;

test.each(files)("$path imports to the left only", (file) => {
  expect(layer(file.path), `${folder(file.path)}/ is not a layer`).toBeGreaterThanOrEqual(0);
  const wrong = imports(file).filter(
    (to) => folder(to) !== folder(file.path) && layer(to) >= layer(file.path),
  );
  expect(wrong).toEqual([]);
});

test.each(files)("$path keeps what belongs elsewhere out", ({ path, text }) => {
  for (const [what, home] of ONLY_IN) {
    if (!home.test(path)) expect(text, `belongs in ${home}`).not.toMatch(what);
  }
});

test.each(files)("$path has a header, no leftovers, and a readable size", ({ path, text }) => {
  expect(text).not.toMatch(/FIXME|export default|@ts-ignore/);
  expect(text.split("\n").length).toBeLessThanOrEqual(FILE_LINES_MAX);
  const long = functionLengths(text).filter(({ lines }) => lines > FUNCTION_LINES_MAX);
  expect(long, path).toEqual([]);
});

test("every file is imported by another, or is an entry point", () => {
  const imported = new Set([...files, ...recipe].flatMap(imports));
  const orphans = files
    .map((file) => file.path)
    .filter((path) => !imported.has(path) && !ENTRY_POINTS.test(path));
  expect(orphans).toEqual([]);
});

/** Top-level functions and methods by indentation: the formatter guarantees where they end. */
function functionLengths(text: string): { name: string; lines: number }[] {
  const lines = text.split("\n");
  return lines.flatMap((line, start) => {
    const match =
      /^( {0,2})(?:export )?(?:static )?(?:async )?(?:function\*? )?([#\w]+)(?:<.*>)?\(.*\{$/.exec(
        line,
      );
    if (!match || /^\s*(if|for|while|switch|return)\b/.test(line)) return [];
    const end = lines.findIndex((other, i) => i > start && other === `${match[1]}}`);
    return end < 0 ? [] : [{ name: match[2]!, lines: end - start + 1 }];
  });
}
