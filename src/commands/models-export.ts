/** `plumbline models export`: a checkpoint in the format of another program. */
import type { Command } from "commander";
import { GatewayError } from "../base/errors.ts";
import { exportGguf, type GgufType, ggufTypes } from "../checkpoints/gguf.ts";
import { exportOnnx } from "../checkpoints/onnx-export.ts";
import { oneOf } from "./readers.ts";

const EXPORT_FORMATS = ["onnx", "gguf"] as const;

interface ExportOptions {
  readonly format: (typeof EXPORT_FORMATS)[number];
  readonly type: GgufType;
  readonly out: string;
}

export function addExport(group: Command): void {
  group
    .command("export")
    .description(
      "write a checkpoint for other programs; onnx: a folder as transformers.js reads it, gguf: a file for llama.cpp",
    )
    .argument("<folder>", "of the checkpoint: one that serves")
    .option("--format <name>", EXPORT_FORMATS.join(", "), oneOf(EXPORT_FORMATS), EXPORT_FORMATS[0])
    .option(
      "--type <name>",
      `gguf: of the matrices, ${ggufTypes.join(" or ")}`,
      oneOf(ggufTypes),
      ggufTypes[0],
    )
    .requiredOption("--out <path>", "to be written; a file must not exist, a folder may be empty")
    .action(exportCheckpoint);
}

async function exportCheckpoint(
  folder: string,
  { format, type, out }: ExportOptions,
): Promise<void> {
  switch (format) {
    case "onnx":
      refuseHalf(type);
      await exportOnnx(folder, out);
      break;
    case "gguf":
      await exportGguf(folder, out, type);
      break;
  }
  console.log(`${folder} → ${out}`);
}

/** NOTE: ONNX Runtime computes float16 in float32 on a CPU, and gains nothing. */
function refuseHalf(type: GgufType): void {
  if (type === "f32") return;
  const problem = `'${type}' is for gguf; onnx is written in f32`;
  throw new GatewayError("invalid_request", { param: "--type", problem });
}
