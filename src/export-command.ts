/** `plumbline models export`: a checkpoint in the format of another program. */
import { GatewayError } from "./base/errors.ts";
import { exportOnnx } from "./checkpoints/onnx-export.ts";

export const EXPORT_FORMATS = ["onnx"] as const;

interface ExportOptions {
  readonly format: string;
  readonly out: string;
}

export async function exportCommand(folder: string, { format, out }: ExportOptions): Promise<void> {
  if (!EXPORT_FORMATS.some((known) => known === format)) {
    const problem = `'${format}' is not known; there is ${EXPORT_FORMATS.join(", ")}`;
    throw new GatewayError("invalid_request", { param: "--format", problem });
  }
  await exportOnnx(folder, out);
  console.log(`${folder} → ${out}`);
}
