/** Files of training data, each in a folder of its own that is gone when the tests have run. */
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "./workspace.ts";

export function datasetFiles() {
  const folder = temporaryFolder();
  /** A path that nothing is at. */
  const newPath = async (name: string) => join(await mkdtemp(join(folder, "data-")), name);
  const fileOf = async (text: string | Uint8Array, name = "rows.jsonl") => {
    const file = await newPath(name);
    await writeFile(file, text);
    return file;
  };
  return { newPath, fileOf };
}

export const linesOf = (...rows: readonly unknown[]): string =>
  rows.map((row) => `${JSON.stringify(row)}\n`).join("");
