/**
 * One process per folder. Each process that wants the folder listens on a Unix socket of its own in
 * `<folder>/lock/`, then tries to reach every other socket there. The kernel answers for the owner: a live process
 * accepts, a dead one refuses, whatever became of its process id, and also between containers that share the folder.
 * Whoever listens before it looks cannot be overlooked, so two never both succeed; two that start at the same
 * moment may see each other, and try again after an uneven pause.
 *
 * For Linux and macOS and a local disk: over a network file system the other machine's kernel is not asked.
 */
import { mkdir, mkdtemp, readdir, rename, rm, symlink, unlink } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { GatewayError } from "../base/errors.ts";
import { freshSeed } from "../base/random.ts";
import { storeFailure, toErrno } from "./files.ts";

export interface FolderLock {
  release(): Promise<void>;
}

const attempts = 3;
const pauseMsMax = 100;
/** Unix socket addresses hold 104 bytes on macOS and 108 on Linux. */
const addressBytesMax = 100;

/** @throws GatewayError store_locked with the holder's process id; store_failed. */
export async function lockFolder(folder: string): Promise<FolderLock> {
  for (let attempt = 1; ; attempt++) {
    const result = await tryLock(folder).catch((error: unknown) => {
      throw storeFailure(folder, error);
    });
    if ("release" in result) return result;
    if (attempt === attempts) throw new GatewayError("store_locked", { folder, pid: result.pid });
    await wait(freshSeed() % pauseMsMax);
  }
}

async function tryLock(folder: string): Promise<FolderLock | { pid: number }> {
  const sockets = join(folder, "lock");
  await mkdir(sockets, { recursive: true, mode: 0o700 });
  const own = `${process.pid}-${freshSeed().toString(36)}.sock`;
  return withShortPath(sockets, async (short) => {
    // It gets its final name only once it listens, so that a socket that refuses is always a dead one.
    const server = await listen(join(short, `.${own}`));
    await rename(join(sockets, `.${own}`), join(sockets, own));
    const release = async () => {
      await rm(join(sockets, own), { force: true });
      await new Promise<void>((resolve) => server.close(() => resolve()));
    };
    const pid = await findHolder(sockets, short, own);
    if (pid === null) return { release };
    await release();
    return { pid };
  });
}

/** The process id of another live holder; sockets of dead ones are removed. */
async function findHolder(sockets: string, short: string, own: string): Promise<number | null> {
  for (const name of await readdir(sockets)) {
    if (name === own || name.startsWith(".")) continue;
    const state = await probe(join(short, name));
    if (state === "alive") return Number.parseInt(name, 10);
    if (state === "dead") await rm(join(sockets, name), { force: true });
  }
  return null;
}

function probe(path: string): Promise<"alive" | "dead" | "gone"> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on("connect", () => {
      socket.destroy();
      resolve("alive");
    });
    socket.on("error", (error) => {
      const { code } = toErrno(error);
      // Anything else (no right to connect, its backlog full) is somebody: when in doubt, locked.
      resolve(code === "ECONNREFUSED" ? "dead" : code === "ENOENT" ? "gone" : "alive");
    });
  });
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.on("error", reject);
    server.listen(path, () => resolve(server));
    server.unref(); // the lock alone keeps no process alive
  });
}

/** Runs with a name of the folder that is short enough for a socket address below it. */
async function withShortPath<T>(folder: string, run: (short: string) => Promise<T>): Promise<T> {
  const nameBytes = 32;
  if (Buffer.byteLength(folder) + nameBytes <= addressBytesMax) return run(folder);
  const temporary = await mkdtemp(join(tmpdir(), "plumbline-"));
  const link = join(temporary, "l");
  await symlink(resolve(folder), link);
  try {
    return await run(link);
  } finally {
    await unlink(link);
    await rm(temporary, { recursive: true });
  }
}
