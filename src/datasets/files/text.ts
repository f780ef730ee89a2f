/** The bytes of a text file, decompressed where its name ends in .gz. */
import { createReadStream } from "node:fs";
import { createGunzip } from "node:zlib";
import { GatewayError } from "../../base/errors.ts";
import { isMissing } from "../../base/json-file.ts";

/** @throws GatewayError dataset_unusable when the file cannot be read or decompressed. */
export async function* readText(file: string): AsyncGenerator<string> {
  const source = createReadStream(file);
  const unzip = /\.gz$/i.test(file) ? createGunzip() : null;
  if (unzip) source.on("error", (error) => unzip.destroy(error)).pipe(unzip);
  const decoder = new TextDecoder(); // drops a byte order mark
  try {
    for await (const chunk of unzip ?? source) {
      yield decoder.decode(chunk as Uint8Array, { stream: true }); // no encoding is set: bytes
    }
  } catch (cause) {
    throw unreadable(file, cause);
  } finally {
    source.destroy();
    unzip?.destroy();
  }
}

/**
 * Lines without their ends. NOTE: node:readline also ends lines at U+2028 and U+2029, which JSON has within texts.
 * @throws GatewayError dataset_unusable
 */
export async function* readLines(file: string): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of readText(file)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

export function unreadable(file: string, cause: unknown): GatewayError {
  const problem = isMissing(cause) ? "it does not exist" : `reading failed (${String(cause)})`;
  const remedy = isMissing(cause) ? "Name another file." : "Copy it again, or name another file.";
  return new GatewayError("dataset_unusable", { file, problem, remedy }, { cause });
}
