/** A command of the command line in a process of its own, which may be killed in the middle. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const cli = join(import.meta.dirname, "../../src/cli.ts");

/**
 * @param killAt SIGKILL as soon as it has said this; undefined: it is left to end. `code` is null when it was killed.
 * @param fileBytesMax no file may become larger: writing fails then as on a full disk, with another name for it (EFBIG).
 */
export function runCommand(
  command: readonly string[],
  killAt?: string,
  fileBytesMax?: number,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const node = [process.execPath, "--import", import.meta.resolve("tsx"), cli, ...command];
  const limit = `ulimit -f ${Math.ceil((fileBytesMax ?? 0) / 512)}; exec "$@"`; // in blocks of 512 bytes
  const [file, ...args] = fileBytesMax === undefined ? node : ["sh", "-c", limit, "sh", ...node];
  const child = spawn(file!, args);
  return new Promise((resolve) => {
    let said = "";
    const hear = (bytes: Buffer) => {
      said += bytes.toString();
      if (killAt !== undefined && said.includes(killAt)) child.kill("SIGKILL");
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.on("close", (code) => resolve({ code, said }));
  });
}
