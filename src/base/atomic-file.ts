/** Replaces a file so that after a crash or a power cut it is either the old one or the new one, whole. */

import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes the parts to a file beside `path`, forces them to disk, then renames it to `path`.
 * A failure leaves `path` as it was and no other file behind.
 */
export async function writeFileAtomically(
  path: string,
  parts: Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>,
): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await using(temporary, "wx", async (file) => {
      for await (const part of parts) await file.writeFile(part);
      await file.sync();
    });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await using(dirname(path), "r", (folder) => folder.sync()); // the new name, too, must survive
}

async function using(
  path: string,
  flags: string,
  act: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags);
  try {
    await act(file);
  } finally {
    await file.close();
  }
}
