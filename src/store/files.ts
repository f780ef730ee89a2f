/**
 * The few file operations of the log, so that tests can hand in a disk that fills up, fails or loses
 * power. Knows nothing of records. Offsets and sizes are bytes.
 */
import { mkdir, open, readdir, stat, unlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { GatewayError } from "../base/errors.ts";

export interface LogFile {
  /** @returns the bytes written, which may be fewer than given. */
  write(bytes: Uint8Array, offset: number): Promise<number>;
  truncate(size: number): Promise<void>;
  /** Resolves when content and size are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface LogFiles {
  /** With its parents, and their entries on the disk. */
  makeFolder(path: string): Promise<void>;
  list(folder: string): Promise<string[]>;
  size(path: string): Promise<number>;
  /** An empty new file, in place of any other of that name; durable only after `syncFolder`. */
  create(path: string): Promise<LogFile>;
  /** An existing file, for writing. */
  reopen(path: string): Promise<LogFile>;
  /** Up to `length` bytes from `offset`; fewer only at the end of the file. */
  read(path: string, offset: number, length: number): Promise<Buffer>;
  remove(path: string): Promise<void>;
  /** Resolves when the folder's entries (files created, files removed) are on the disk. */
  syncFolder(path: string): Promise<void>;
}

export const diskFiles: LogFiles = {
  async makeFolder(path) {
    const first = await mkdir(path, { recursive: true });
    const stop = dirname(resolve(first ?? path));
    for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
      await syncFolder(folder);
      if (folder === stop) return;
    }
  },
  list: (folder) => readdir(folder),
  size: async (path) => (await stat(path)).size,
  create: (path) => openFile(path, "w"),
  reopen: (path) => openFile(path, "r+"),
  async read(path, offset, length) {
    const file = await open(path, "r");
    try {
      const bytes = Buffer.allocUnsafe(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await file.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await file.close();
    }
  },
  remove: (path) => unlink(path),
  syncFolder,
};

async function openFile(path: string, flags: "w" | "r+"): Promise<LogFile> {
  const file = await open(path, flags, 0o600); // prompts and answers are nobody else's business
  return {
    write: async (bytes, offset) => (await file.write(bytes, 0, bytes.length, offset)).bytesWritten,
    truncate: (size) => file.truncate(size),
    sync: () => file.datasync(), // flushes the size too; on macOS libuv asks for a full flush
    close: () => file.close(),
  };
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

const remedies: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  ENOSPC: ["no space is left on the disk", "Free some space; writing goes on by itself."],
  EDQUOT: ["the disk quota is used up", "Raise it or free some space; writing goes on by itself."],
  EIO: ["the disk reports an error", "Check the disk; its last good state is kept."],
  EROFS: ["the file system is read-only", "Mount it writable, or use another folder."],
  EACCES: ["access is denied", "Give this user write access to it, or use another folder."],
  ENOTSUP: ["it cannot hold Unix sockets", "Use a folder on a local disk or a named volume."],
  EMFILE: ["too many files are open", "Raise the limit (ulimit -n); writing goes on by itself."],
};

/** The error for whoever runs the server; `cause` keeps the system's own. */
export function storeFailure(folder: string, error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const { code = "", message } = toErrno(error);
  const [problem, remedy] = remedies[code] ?? [message, "Check the folder and its disk."];
  return new GatewayError(
    "store_failed",
    { folder, problem: code ? `${problem} (${code})` : problem, remedy },
    { cause: error },
  );
}

/** A caught value as the system error it is, or as one without a code. */
export function toErrno(error: unknown): NodeJS.ErrnoException {
  return error instanceof Error ? error : new Error(String(error));
}

export const segmentPath = (folder: string, number: number) =>
  join(folder, `${String(number).padStart(10, "0")}.log`);
