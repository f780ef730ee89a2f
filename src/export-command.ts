/** `plumbline models export`: a checkpoint in the format of another program. */
import { GatewayError } from "./base/errors.ts";
import { exportGguf, type GgufType, ggufTypes } from "./checkpoints/gguf.ts";
import { exportOnnx } from "./checkpoints/onnx-export.ts";

export const EXPORT_FORMATS = ["onnx", "gguf"] as const;

interface ExportOptions {
  readonly format: string;
  readonly type: string;
  readonly out: string;
}

export async function exportCommand(
  folder: string,
  { format, type, out }: ExportOptions,
): Promise<void> {
  const numbers = oneOf("--type", type, ggufTypes);
  switch (oneOf("--format", format, EXPORT_FORMATS)) {
    case "onnx":
      refuseHalf(numbers);
      await exportOnnx(folder, out);
      break;
    case "gguf":
      await exportGguf(folder, out, numbers);
      break;
  }
  console.log(`${folder} → ${out}`);
}

function oneOf<T extends string>(param: string, given: string, known: readonly T[]): T {
  const found = known.find((each) => each === given);
  if (found !== undefined) return found;
  const problem = `'${given}' is not known; there is ${known.join(", ")}`;
  throw new GatewayError("invalid_request", { param, problem });
}

/** NOTE: ONNX Runtime computes float16 in float32 on a CPU, and gains nothing. */
function refuseHalf(type: GgufType): void {
  if (type === "f32") return;
  const problem = `'${type}' is for gguf; onnx is written in f32`;
  throw new GatewayError("invalid_request", { param: "--type", problem });
}
