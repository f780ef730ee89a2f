import { readFile } from "node:fs/promises";

/** The most memory of a process that was resident at once, bytes; null where the system does not say. */
export async function peakBytes(pid: number): Promise<number | null> {
  if (process.platform !== "linux") return null;
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return 1024 * Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]);
}
