/**
 * Runs the program of an answer in a sandbox: reward = tests passed / tests. A test is an input with the output it
 * must give (white space at line ends apart), or code that runs after the answer's own and must reach its end.
 * The program is the answer's last fenced block in the language, else its last block that names none, else, where it
 * has no block at all, the whole text. An answer without a program, or whose program does not end within its limits,
 * passes nothing. Cost: one process a test, 30 to 150 ms and what it computes.
 * What is contained and what is not: `sandbox.ts`. A program can tell that it is tested, and can read assertions: they
 * stand in its own file. One that ends early passes none of them, since the end prints a secret.
 * NaN ("no judgement") where a prompt should bring the tests and brings none.
 */
import { randomUUID } from "node:crypto";
import { accessSync, constants, existsSync, realpathSync } from "node:fs";
import { type Static, Type } from "typebox";
import { GatewayError } from "../base/errors.ts";
import type { TemplateMessage } from "../text/chat-template.ts";
import { defineReward } from "./define.ts";
import { fencedBlocks } from "./fenced.ts";
import { ruleReward } from "./rule.ts";
import { runSandboxed, type SandboxRule } from "./sandbox.ts";

interface Language {
  /** Names that a fenced block may give it. */
  readonly fences: readonly string[];
  readonly interpreters: readonly string[];
  args(folder: string, memoryMiB: number): readonly string[];
  fileName(source: string): string;
  /** The answer's program, and after it a test that prints the secret if it comes to its end. */
  withTest(source: string, test: string, secret: string): string;
}

// Node before 24 has the permission model under a preliminary name.
const permission = process.allowedNodeEnvironmentFlags.has("--permission")
  ? "--permission"
  : "--experimental-permission";

const languages: Readonly<Record<"javascript" | "python", Language>> = {
  javascript: {
    fences: ["javascript", "js", "mjs", "cjs", "node"],
    interpreters: [process.execPath],
    args: (folder, memoryMiB) => [
      permission,
      `--allow-fs-read=${folder}/`,
      "--no-warnings",
      `--max-old-space-size=${Math.floor(memoryMiB / 2)}`,
    ],
    fileName: (source) => (/^\s*(?:import|export)\b/m.test(source) ? "main.mjs" : "main.cjs"),
    withTest: (source, test, secret) =>
      `${source}\n;(async () => {\nconst { default: assert } = await import("node:assert");\n${test}\n` +
      `})().then(() => console.log("\\n${secret}"));\n`,
  },
  python: {
    fences: ["python", "py", "python3"],
    interpreters: ["/usr/bin/python3", "/usr/local/bin/python3"],
    args: () => ["-I", "-B"],
    fileName: () => "main.py",
    withTest: (source, test, secret) => `${source}\n${test}\nprint("\\n${secret}")\n`,
  },
};

const TESTS_MAX = 100;

const Test = Type.Union([
  Type.Object(
    { stdin: Type.Optional(Type.String()), stdout: Type.String() },
    { additionalProperties: false },
  ),
  Type.Object({ code: Type.String({ minLength: 1 }) }, { additionalProperties: false }),
]);

export const code = defineReward({
  name: "code",
  description:
    "Runs the answer's program against tests in a sandboxed process; the share that it passes.",
  isInline: false,
  options: Type.Object({
    language: Type.Enum(["javascript", "python"]),
    tests: Type.Array(Test, { maxItems: TESTS_MAX, default: [] }),
    tests_in_prompt: Type.Boolean({
      default: false,
      description: "whether lines of the last user's message that begin with assert are tests too",
    }),
    isolation: Type.Enum(["namespaces", "process"], {
      default: "namespaces",
      description: "process: limits, but the server's own files and network",
    }),
    time_ms: Type.Integer({ minimum: 100, maximum: 60_000, default: 5000, description: "a test" }),
    memory_mib: Type.Integer({ minimum: 256, maximum: 16_384, default: 512 }),
    output_bytes: Type.Integer({ minimum: 1024, default: 65_536 }),
    processes_max: Type.Integer({
      minimum: 1,
      maximum: 64,
      default: 2,
      description: "that run at once, over all answers",
    }),
    interpreter: Type.Optional(
      Type.String({ minLength: 1, description: "path of node or python" }),
    ),
    folders: Type.Array(Type.String({ pattern: "^/[^:]+$" }), {
      default: [],
      description:
        "what else programs may read: libraries outside of /usr and of the interpreter's folder",
    }),
  }),
  create(id, options, _world) {
    const language = languages[options.language];
    const { time_ms: timeMs, memory_mib: memoryMiB, output_bytes: outputBytes } = options;
    refuseWithoutTests(options);
    refuseMissing(options.folders);
    const rule: SandboxRule = {
      reward: id,
      isolation: options.isolation,
      limits: { timeMs, memoryMiB, outputBytes },
      interpreter: findInterpreter(options.language, options.interpreter),
      folders: options.folders,
      args: (folder) => language.args(folder, memoryMiB),
    };
    const inTurn = createTurns(options.processes_max);
    return ruleReward(
      id,
      { kind: "code", options, acceptsPrefixes: false, range: [0, 1] },
      async (text, messages, signal) => {
        const tests = [
          ...options.tests,
          ...(options.tests_in_prompt ? assertionsIn(messages) : []),
        ];
        const source = programOf(text, language.fences);
        if (source === null || tests.length === 0) return source === null ? 0 : Number.NaN;
        const passed = await Promise.all(
          tests.map((test) => inTurn(() => passes(rule, { language, source, test, signal }))),
        );
        return passed.filter(Boolean).length / passed.length;
      },
    );
  },
});

/** @throws GatewayError invalid_request when there is none, or it is installed where nothing else should be read. */
function findInterpreter(language: keyof typeof languages, given: string | undefined): string {
  const candidates = given === undefined ? languages[language].interpreters : [given];
  const found = candidates.find((path) => existsSync(path));
  const refuse = (problem: string) =>
    new GatewayError("invalid_request", { param: "alignment.reward.interpreter", problem });
  if (found === undefined)
    throw refuse(`no ${language} at ${candidates.join(" or ")}; install it, or name its path`);
  const path = realpathSync(found);
  accessSync(path, constants.X_OK);
  if (path.split("/").length < 4) throw refuse(`${path} is not in a folder of its own`);
  return path;
}

function refuseWithoutTests({
  tests,
  tests_in_prompt: areInPrompt,
}: {
  tests: unknown[];
  tests_in_prompt: boolean;
}) {
  if (tests.length > 0 || areInPrompt) return;
  const problem = "give at least one test, or take them from the prompt with tests_in_prompt";
  throw new GatewayError("invalid_request", { param: "alignment.reward.tests", problem });
}

function refuseMissing(folders: readonly string[]): void {
  const missing = folders.find((folder) => !existsSync(folder));
  if (missing === undefined) return;
  const param = "alignment.reward.folders";
  throw new GatewayError("invalid_request", { param, problem: `there is no ${missing}` });
}

/** The last fenced block in the language, else the last that names none, else the text if it has no fence. */
function programOf(text: string, fences: readonly string[]): string | null {
  const blocks = fencedBlocks(text);
  const block =
    blocks.findLast(({ name }) => fences.includes(name)) ??
    blocks.findLast(({ name }) => name === "");
  if (block) return block.body;
  return text.includes("```") || text.trim() === "" ? null : text;
}

type CodeTest = Static<typeof Test>;
type OutputTest = Extract<CodeTest, { stdout: string }>;

/** As MBPP's prompts have them: "assert add(1, 2) == 3", each line a test. */
function assertionsIn(messages: readonly TemplateMessage[]): readonly CodeTest[] {
  const asked = messages.findLast(({ role }) => role === "user")?.content ?? "";
  const lines = asked.split("\n").map((line) => line.trim());
  return lines
    .filter((line) => /^assert\b/.test(line))
    .slice(0, TESTS_MAX)
    .map((code) => ({ code }));
}

interface Trial {
  readonly language: Language;
  readonly source: string;
  readonly test: CodeTest;
  readonly signal: AbortSignal;
}

const passes = (rule: SandboxRule, trial: Trial): Promise<boolean> =>
  "stdout" in trial.test
    ? givesOutput(rule, trial, trial.test)
    : reachesEnd(rule, trial, trial.test.code);

async function givesOutput(
  rule: SandboxRule,
  { language, source, signal }: Trial,
  { stdin = "", stdout: wanted }: OutputTest,
): Promise<boolean> {
  const program = { name: language.fileName(source), source, stdin };
  const { ended, exitCode, stdout } = await runSandboxed(rule, program, signal);
  const hasEnded = ended === "exit" && exitCode === 0;
  return hasEnded && withoutLineEnds(stdout) === withoutLineEnds(wanted);
}

async function reachesEnd(
  rule: SandboxRule,
  { language, source, signal }: Trial,
  test: string,
): Promise<boolean> {
  const secret = randomUUID();
  const tested = language.withTest(source, test, secret);
  const program = { name: language.fileName(source), source: tested, stdin: "" };
  const { ended, exitCode, stdout } = await runSandboxed(rule, program, signal);
  return ended === "exit" && exitCode === 0 && stdout.trimEnd().endsWith(secret);
}

const withoutLineEnds = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n")
    .trimEnd();

/** Runs at most `n` at a time, the others in the order they came. */
function createTurns(n: number) {
  const waiting: (() => void)[] = [];
  let free = n;
  return async <T>(run: () => Promise<T>): Promise<T> => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
