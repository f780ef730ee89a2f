/** A folder of files that appears whole or not at all: made beside its place, and renamed when it is complete. */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { GatewayError } from "../base/errors.ts";
import { isMissing } from "../base/json-file.ts";

/**
 * @param out must not exist, or be empty. @param write fills the folder that it is given.
 * @throws GatewayError invalid_request for a folder that holds something; export_failed when it cannot be written.
 */
export async function writeNewFolder(
  out: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const target = resolve(out);
  try {
    if (await holdsSomething(target)) throw occupied(out);
    await writeWhole(target, write);
  } catch (cause) {
    if (cause instanceof GatewayError || !isFileError(cause)) throw cause;
    if (cause.code === "ENOTEMPTY" || cause.code === "EEXIST") throw occupied(out);
    const { message: problem } = cause;
    throw new GatewayError("export_failed", { path: out, problem }, { cause });
  }
}

async function writeWhole(target: string, write: (temporary: string) => Promise<void>) {
  const temporary = join(dirname(target), `.${basename(target)}.${randomUUID()}.tmp`);
  await mkdir(temporary, { recursive: true });
  try {
    await write(temporary);
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

async function holdsSomething(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length > 0;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

function occupied(out: string): GatewayError {
  const problem = `the folder ${out} holds files; name one that does not exist, or empty it`;
  return new GatewayError("invalid_request", { param: "--out", problem });
}

const isFileError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && "code" in error && "syscall" in error;
