/** What ends a training, in words that somebody can act on. */
import { GatewayError } from "../../base/errors.ts";
import type { DatasetPlace } from "../../datasets/types.ts";
import { NotFinite } from "../../train/trainer.ts";

interface Placed {
  readonly place: DatasetPlace;
}

/** @param passesAt what the passes of a step were made of. */
export function asDivergence(
  error: unknown,
  passesAt: (step: number) => readonly (readonly Placed[])[],
): unknown {
  if (!(error instanceof NotFinite)) return error;
  const passes = passesAt(error.step);
  const some = error.pass === null ? passes.flat() : passes[error.pass]!;
  const places = some.map(({ place }) => place);
  const { metric, value, step } = error;
  const rows = linesOf(places);
  return new GatewayError("training_diverged", { metric, value, step, rows }, { cause: error });
}

/** "a.jsonl, lines 3, 7 and 12; b.jsonl, line 1" */
function linesOf(places: readonly DatasetPlace[]): string {
  const files = [...new Set(places.map(({ file }) => file))];
  return files
    .map((file) => {
      const lines = [...new Set(places.flatMap((each) => (each.file === file ? [each.line] : [])))];
      const named = lines.sort((a, b) => a - b).join(", ");
      return `${file}, ${lines.length === 1 ? "line" : "lines"} ${named}`;
    })
    .join("; ");
}

export function asWriteFailure(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return new GatewayError(
    "training_write_failed",
    { path, problem: error.message },
    { cause: error },
  );
}
