/**
 * Runs a program that nobody has read, in a child process with limits of time, memory and output.
 *
 * With `namespaces` (Linux, util-linux's `unshare`) the program has a network without interfaces, sees no other
 * process, and a file tree of its own: the system's programs and libraries, the interpreter and itself, all
 * read-only, and 64 MiB at /tmp; it holds no capability and can gain none. What it starts dies with it.
 * With `process` it has the limits, and what the interpreter itself promises (Node's permission model), no more: it
 * reads and writes what the server's user may, and reaches the network.
 * Not contained in either: the kernel's own faults, and the processor's time that the limit grants.
 * Cost: 30 to 150 ms a run, most of it the interpreter's start.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GatewayError } from "../base/errors.ts";

export interface SandboxLimits {
  /** From the program's start to its end, children included. */
  readonly timeMs: number;
  /** What it may write to: heap, stacks, anonymous maps. */
  readonly memoryMiB: number;
  /** Of standard output; a program that writes more is ended. */
  readonly outputBytes: number;
}

export interface SandboxRule {
  /** The reward's id, for errors. */
  readonly reward: string;
  readonly isolation: "namespaces" | "process";
  readonly limits: SandboxLimits;
  /** The interpreter, links resolved. */
  readonly interpreter: string;
  /** What else it has to read: libraries outside of /usr and the interpreter's own folder. */
  readonly folders: readonly string[];
  /** The interpreter's arguments before the program, which is `<folder>/<name>`. */
  readonly args: (folder: string) => readonly string[];
}

export interface SandboxedProgram {
  readonly name: string;
  readonly source: string;
  readonly stdin: string;
}

export interface RunResult {
  /** "time" and "output": the limit that ended it. */
  readonly ended: "exit" | "time" | "output";
  /** Null when a signal or a limit ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
}

const START_MS_MAX = 10_000;
const PIPES_MS_MAX = 200;
const COMPLAINT_CHARACTERS_MAX = 2000;
/** The program's whole environment. */
const environment = { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LANG: "C.UTF-8", HOME: "/tmp" };

const limitsScript = `
ulimit -c 0; ulimit -d "$memory"; ulimit -t "$cpu"; ulimit -f 131072; ulimit -n 64`;

/** Descriptor 3 tells that everything before the program itself went well. */
const startScript = 'echo ready >&3; exec 3>&-; exec "$@"';

const processScript = `set -eu
cd "$1"; memory=$2; cpu=$3; shift 4${limitsScript}
${startScript}`;

// NOTE: chroot is no prison for who holds capabilities; after setpriv nobody inside does, and the kernel makes no
// user namespace for a process whose root is not its mount namespace's. The limit of processes binds only where the
// server does not run as root; elsewhere the time limit ends a fork bomb.
const namespacesScript = `set -eu
program=$1; memory=$2; cpu=$3; folders=$4; shift 4
root=$program/root
mount -t tmpfs -o size=64m,mode=755,nodev,nosuid tmpfs "$root"
mkdir -p "$root/program" "$root/tmp" "$root/dev"
IFS=:
for each in /usr /bin /lib /lib32 /lib64 $folders; do
  if [ -L "$each" ]; then cp -P "$each" "$root$each"
  elif [ -d "$each" ]; then
    mkdir -p "$root$each"
    mount --rbind "$each" "$root$each"
    mount -o remount,bind,ro,nosuid "$root$each"
  fi
done
mount --bind "$program" "$root/program"
mount -o remount,bind,ro,nosuid,nodev "$root/program"
for each in null zero random urandom; do
  : > "$root/dev/$each"
  mount --bind "/dev/$each" "$root/dev/$each"
done${limitsScript}
ulimit -u 64 2>/dev/null || ulimit -p 64
exec chroot "$root" env -C /tmp setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all \\
  --no-new-privs -- sh -c '${startScript}' sh "$@"`;

const unshare =
  "unshare --user --map-root-user --mount --pid --ipc --uts --net --fork --kill-child".split(" ");

/**
 * Runs one program to its end.
 * @throws GatewayError sandbox_failed when the sandbox itself cannot be made; the signal's reason on abort.
 */
export async function runSandboxed(
  rule: SandboxRule,
  program: SandboxedProgram,
  signal: AbortSignal,
): Promise<RunResult> {
  signal.throwIfAborted();
  const folder = await mkdtemp(join(tmpdir(), "plumbline-code-"));
  try {
    await writeFile(join(folder, program.name), program.source);
    const command = await commandFor(rule, program.name, folder);
    return await run(command, { rule, folder, stdin: program.stdin, signal });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function commandFor(rule: SandboxRule, name: string, folder: string): Promise<string[]> {
  const { isolation, interpreter, limits } = rule;
  const isApart = isolation === "namespaces";
  const inside = isApart ? "/program" : folder;
  const seconds = Math.ceil(limits.timeMs / 1000) + 1;
  const folders = [dirname(dirname(interpreter)), ...rule.folders].join(":");
  const settings = [folder, String(limits.memoryMiB * 1024), String(seconds), folders];
  const program = [interpreter, ...rule.args(inside), join(inside, name)];
  const script = isApart ? namespacesScript : processScript;
  const shell = ["sh", "-c", script, "sandbox", ...settings, ...program];
  if (!isApart) return shell;
  await mkdir(join(folder, "root"));
  // The program ends even if this server does not live to end it.
  const deadline = String(seconds + START_MS_MAX / 1000);
  return ["timeout", "--signal=KILL", deadline, ...unshare, ...shell];
}

interface Run {
  readonly rule: SandboxRule;
  readonly folder: string;
  readonly stdin: string;
  readonly signal: AbortSignal;
}

function run(
  [file, ...args]: readonly string[],
  { rule, folder, stdin, signal }: Run,
): Promise<RunResult> {
  const { limits, reward } = rule;
  return new Promise((resolve, reject) => {
    // A session of its own, so that what it starts can be ended with it.
    const child = spawn(file!, args, {
      cwd: folder,
      env: environment,
      detached: true,
      stdio: ["pipe", "pipe", "pipe", "pipe"],
    });
    let ended: RunResult["ended"] = "exit";
    let hasStarted = false;
    let complaint = "";
    const end = (why: RunResult["ended"]) => {
      ended = why;
      endGroup(child);
    };
    let timer = setTimeout(end, START_MS_MAX, "time");
    const onAbort = () => endGroup(child);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort(); // while its files were written

    const stdout = collect(child, limits.outputBytes, () => end("output"));
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(0, COMPLAINT_CHARACTERS_MAX);
    });
    child.stdio[3]!.on("data", () => {
      hasStarted = true;
      clearTimeout(timer);
      timer = setTimeout(end, limits.timeMs, "time");
    });
    // A program need not read what it is given.
    child.stdin!.on("error", () => undefined).end(stdin);

    const settle = (failure: string | null, exitCode: number | null) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      if (signal.aborted) reject(signal.reason);
      else if (failure === null)
        resolve({ ended, exitCode: ended === "exit" ? exitCode : null, stdout: stdout() });
      else reject(new GatewayError("sandbox_failed", { reward, problem: failure }));
    };
    child.once("error", (error) => settle(error.message, null));
    child.once("exit", () => {
      endGroup(child);
      // What left the session may hold the pipes open: "close" would wait for it.
      setTimeout(() => {
        for (const pipe of child.stdio) pipe?.destroy();
      }, PIPES_MS_MAX).unref();
    });
    child.once("close", (exitCode) => {
      const why = ended === "time" ? "it did not start within 10 s" : complaint.trim();
      settle(hasStarted ? null : why || "it ended before it started", exitCode);
    });
  });
}

function collect(child: ChildProcess, bytesMax: number, onTooMuch: () => void): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  child.stdout!.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= bytesMax) chunks.push(chunk);
    else onTooMuch();
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

/** Ends the child and all of its session. */
function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    // It has ended by itself in the meantime.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
