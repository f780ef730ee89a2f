/**
 * The folder of a batch: `manifest.json` says what it is of and, in the end, what came of it. One command at a time, and
 * only the same command goes on with it.
 */
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { GatewayError } from "../../base/errors.ts";
import { isMissing } from "../../base/json-file.ts";
import { lockFolder } from "../../store/folder-lock.ts";
import { differencesOf, type Manifest } from "../training/work-folder.ts";
import { writing } from "./writing.ts";

export interface BatchFolder<R> {
  readonly path: string;
  /** What came of it; null: it has not ended. */
  readonly results: R | null;
  finish(results: R): Promise<void>;
  release(): Promise<void>;
}

/** Of a process that works on it; also what tells the folder from others before there is a manifest. */
const WORK = ".batch";
const MANIFEST = "manifest.json";

/**
 * @param recipe everything that decides the result, flat.
 * @throws GatewayError batch_folder_taken, batch_differs, training_write_failed
 */
export async function openBatchFolder<R extends object>(
  path: string,
  recipe: Manifest,
): Promise<BatchFolder<R>> {
  await refuseForeign(path);
  const work = join(path, WORK);
  await writing(work, () => mkdir(work, { recursive: true }));
  const lock = await locked(path, work);
  const file = join(path, MANIFEST);
  const write = (results: R | null) =>
    writing(file, () =>
      writeFileAtomically(file, [JSON.stringify({ recipe, results }, null, 2), "\n"]),
    );
  try {
    const found = await readManifest<R>(path, file);
    const differences = found && (await isBegun(path)) ? differencesOf(found.recipe, recipe) : [];
    if (differences.length > 0)
      throw new GatewayError("batch_differs", { folder: path, differences });
    await removeTorn(path);
    if (found?.results == null) await write(null);
    return {
      path,
      results: found?.results ?? null,
      finish: write,
      release: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function refuseForeign(folder: string): Promise<void> {
  const names = await readdir(folder).catch((cause: unknown): string[] => {
    if (isMissing(cause)) return [];
    const problem = cause instanceof Error ? cause.message : String(cause);
    const remedy = "Name another folder.";
    throw new GatewayError("batch_folder_taken", { folder, problem, remedy }, { cause });
  });
  if (names.length === 0 || names.includes(WORK)) return;
  throw new GatewayError("batch_folder_taken", {
    folder,
    problem: `it holds other files (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""})`,
    remedy: "Name one that does not exist, or is empty.",
  });
}

async function locked(folder: string, work: string) {
  try {
    return await lockFolder(work);
  } catch (cause) {
    if (!(cause instanceof GatewayError) || cause.code !== "store_locked") throw cause;
    const { pid } = cause.params as { pid: number }; // the code's
    const problem = `process ${pid} is at work in it`;
    const remedy = "Wait for it, or end it; this command then goes on.";
    throw new GatewayError("batch_folder_taken", { folder, problem, remedy }, { cause });
  }
}

async function readManifest<R>(folder: string, file: string) {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    return JSON.parse(text) as { readonly recipe: Manifest; readonly results: R | null }; // written here, whole
  } catch (cause) {
    const problem = `its ${MANIFEST} is not what was written there`;
    const remedy = "Name another folder.";
    throw new GatewayError("batch_folder_taken", { folder, problem, remedy }, { cause });
  }
}

/** Whether anything was sampled: a command that failed before binds nobody. */
async function isBegun(folder: string): Promise<boolean> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (name.endsWith(".jsonl") && (await stat(join(folder, name))).size > 0) return true;
  }
  return false;
}

/** Files whose writing a kill has cut off. */
async function removeTorn(folder: string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (/\.[0-9a-f-]{36}\.tmp$/.test(name)) await rm(join(folder, name), { force: true });
  }
}
