/**
 * What a training keeps while it runs, in `<out>/training`: its recipe, its saved state, the best weights, references.
 * One command at a time, and only the same command goes on with it.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically } from "../../base/atomic-file.ts";
import { GatewayError } from "../../base/errors.ts";
import { isMissing } from "../../base/json-file.ts";
import { type FolderLock, lockFolder } from "../../store/folder-lock.ts";

/** Everything that decides the result, flat, as texts and numbers. */
export type Manifest = Readonly<Record<string, string | number | boolean | null>>;

export interface WorkFolder {
  readonly state: string;
  readonly best: string;
  readonly references: string;
  /** What a teacher finds likely. */
  readonly laws: string;
  /** Where the finished model is put together. */
  readonly model: string;
  /** What was said when the training ended; null while it has not. */
  readonly summary: string | null;
  /** Keeps the summary, and lets go of all that only a training that goes on needs. */
  finish(summary: string): Promise<void>;
  release(): Promise<void>;
}

const FOLDER = "training";
const MANIFEST = "manifest.json";
const SUMMARY = "summary.json";
const STATE = "state.safetensors";
const BEST = "best.safetensors";
const REFERENCES = "references.json";
const LAWS = "teacher.safetensors";
/** What costs time to make again. */
const KEPT: readonly string[] = [STATE, BEST, REFERENCES, LAWS, SUMMARY];

/**
 * @throws GatewayError training_folder_taken for a folder of something else or one in use, training_differs for one of
 * another command.
 */
export async function openWorkFolder(out: string, manifest: Manifest): Promise<WorkFolder> {
  const folder = join(out, FOLDER);
  const path = (name: string) => join(folder, name);
  await refuseForeign(out);
  await mkdir(folder, { recursive: true });
  const lock = await locked(folder);
  try {
    await agree(out, folder, manifest);
    const summary = await readOrNull(path(SUMMARY));
    const temporary = (await readdir(folder)).filter((name) => name.endsWith(".tmp"));
    for (const name of temporary) await rm(path(name)); // of writes that a kill has cut off
    return {
      state: path(STATE),
      best: path(BEST),
      references: path(REFERENCES),
      laws: path(LAWS),
      model: path("model"),
      summary,
      async finish(text) {
        await writeFileAtomically(path(SUMMARY), [text, "\n"]);
        for (const name of [STATE, BEST, REFERENCES, LAWS, "model"])
          await rm(path(name), { recursive: true, force: true });
      },
      release: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function refuseForeign(out: string): Promise<void> {
  const names = await namesIn(out);
  if (names.length === 0 || names.includes(FOLDER)) return;
  throw new GatewayError("training_folder_taken", {
    folder: out,
    problem: `it holds other files (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""})`,
    remedy: "Name one that does not exist, or is empty.",
  });
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (isMissing(cause)) return [];
    const problem = cause instanceof Error ? cause.message : String(cause);
    const remedy = "Name another folder.";
    throw new GatewayError("training_folder_taken", { folder, problem, remedy }, { cause });
  }
}

async function locked(folder: string): Promise<FolderLock> {
  try {
    return await lockFolder(folder);
  } catch (cause) {
    if (!(cause instanceof GatewayError) || cause.code !== "store_locked") throw cause;
    const { pid } = cause.params as { pid: number }; // the code's
    const problem = `process ${pid} is training into it`;
    const remedy = "Wait for it, or end it; this command then goes on.";
    throw new GatewayError("training_folder_taken", { folder, problem, remedy }, { cause });
  }
}

/** Keeps the manifest, unless what it stands for was made by another one. */
async function agree(out: string, folder: string, manifest: Manifest): Promise<void> {
  const path = join(folder, MANIFEST);
  const text = `${JSON.stringify(manifest, null, 2)}\n`;
  const found = await readOrNull(path);
  const isUsed = (await readdir(folder)).some((name) => KEPT.includes(name));
  if (found === null || !isUsed) return writeFileAtomically(path, [text]);
  const differences = differencesOf(JSON.parse(found) as Manifest, manifest); // written here, whole
  if (differences.length > 0)
    throw new GatewayError("training_differs", { folder: out, differences });
}

/** Each in words; none where both are the same. */
export function differencesOf(former: Manifest, manifest: Manifest): string[] {
  const names = [...new Set([...Object.keys(former), ...Object.keys(manifest)])];
  return names
    .filter((name) => former[name] !== manifest[name])
    .map((name) => `${name} was ${show(former[name])} and is ${show(manifest[name])}`);
}

const show = (value: unknown) => (value === undefined ? "not there" : JSON.stringify(value));

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}
