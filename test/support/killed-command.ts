/** A command of the command line in a process of its own, which may be killed in the middle. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const cli = join(import.meta.dirname, "../../src/cli.ts");

/** @param killAt SIGKILL as soon as it has said this; undefined: it is left to end. `code` is null when it was killed. */
export function runCommand(
  command: readonly string[],
  killAt?: string,
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), cli, ...command]);
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
