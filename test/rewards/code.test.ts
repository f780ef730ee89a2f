/** Programs of answers: what passes, and what the sandbox keeps from them. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { code } from "../../src/rewards/code.ts";
import { judging, made } from "./support.ts";

const isolate = "unshare";
const hasNamespaces =
  spawnSync(isolate, ["--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "true"])
    .status === 0;
const hasPython = existsSync("/usr/bin/python3");
const fenced = (source: string, name = "") => `Here:\n\`\`\`${name}\n${source}\n\`\`\`\nDone.`;

// A folder for temporary files that no other test uses.
const own = mkdtempSync(join(tmpdir(), "code-test-"));
process.env["TMPDIR"] = own;
afterAll(() => rmSync(own, { recursive: true }));
const folders = () => readdirSync(own);

const js = { language: "javascript", isolation: "process" };
const echo = { tests: [{ stdin: "a\nb", stdout: "A\nB\n" }] };
const upper =
  'let text = ""; process.stdin.on("data", (d) => (text += d)).on("end", () => console.log(text.toUpperCase()))';

describe("a program of JavaScript", { timeout: 30_000 }, () => {
  test("passes where its output is the expected one, line ends apart", async () => {
    expect(await judging(code, { ...js, ...echo })(fenced(upper, "js"))).toBe(1);
    expect(await judging(code, { ...js, ...echo })(fenced("console.log('A')", "js"))).toBe(0);
  });

  test("is rewarded by the share of assertions that it passes", async () => {
    const tests = [
      "assert.equal(add(1, 2), 3)",
      "assert.equal(add(-1, 1), 0)",
      "assert.equal(add(2, 2), 5)",
      "nothing()",
    ];
    const score = judging(code, { ...js, tests: tests.map((each) => ({ code: each })) });
    expect(await score(fenced("function add(a, b) { return a + b }", "javascript"))).toBe(0.5);
    expect(await score(fenced("function add(a, b) { return", "javascript"))).toBe(0);
  });

  test("cannot pass by ending early, nor by saying so", async () => {
    const score = judging(code, { ...js, tests: [{ code: "assert.equal(1, 2)" }] });
    expect(await score(fenced("console.log('passed'); process.exit(0)"))).toBe(0);
  });

  test("may be a module", async () => {
    const score = judging(code, {
      ...js,
      tests: [{ code: "assert.equal(join('a', 'b'), 'a/b')" }],
    });
    expect(await score(fenced('import { join } from "node:path";', "js"))).toBe(1);
  });

  test("is the last block in its language, else the last without one, else the whole text", async () => {
    const score = judging(code, { ...js, tests: [{ stdout: "2" }] });
    const one = fenced("console.log(1)", "js");
    const two = fenced("console.log(2)", "js");
    expect(await score(`${one}\n${two}\n${fenced("print(3)", "python")}`)).toBe(1);
    expect(await score(`${fenced("print(3)", "python")}\n${fenced("console.log(2)")}`)).toBe(1);
    expect(await score("console.log(2)")).toBe(1);
    expect(await score(fenced("print(2)", "python"))).toBe(0);
    expect(await score("")).toBe(0);
  });

  test("starts no process and reads no file of the server", async () => {
    const tests = [
      "child_process.spawnSync('true')",
      "fs.readFileSync('/etc/hostname')",
      "fs.writeFileSync('/tmp/x', '')",
    ];
    for (const attempt of tests) {
      const source = `const fs = require("fs"), child_process = require("child_process");\ntry { ${attempt}; console.log("done") } catch (error) { console.log(error.code) }`;
      expect(
        await judging(code, { ...js, tests: [{ stdout: "ERR_ACCESS_DENIED" }] })(
          fenced(source, "js"),
        ),
      ).toBe(1);
    }
  });

  test("is ended with all it started when it takes too long, too much memory, or writes too much", async () => {
    const score = judging(code, { ...js, time_ms: 1500, tests: [{ stdout: "" }] });
    const started = performance.now();
    expect(await score(fenced("for (;;) {}"))).toBe(0);
    expect(await score(fenced("const keep = []; for (;;) keep.push(new Array(1e6).fill(1))"))).toBe(
      0,
    );
    expect(await score(fenced("for (;;) process.stdout.write('x'.repeat(1e6))"))).toBe(0);
    expect(performance.now() - started).toBeLessThan(25_000);
    expect(folders()).toEqual([]);
  });

  test("is ended when the request is", async () => {
    const abort = new AbortController();
    const pending = judging(
      code,
      { ...js, time_ms: 60_000, tests: [{ stdout: "" }] },
      abort.signal,
    )(fenced("for (;;) {}"));
    setTimeout(() => abort.abort(new Error("left")), 300);
    await expect(pending).rejects.toThrow("left");
    await expect.poll(folders).toEqual([]);
  });
});

describe.runIf(hasPython)("a program of Python", { timeout: 30_000 }, () => {
  const python = { language: "python", isolation: "process" };

  test("passes by output and by assertions", async () => {
    const io = judging(code, { ...python, ...echo });
    expect(await io(fenced("import sys\nprint(sys.stdin.read().upper())", "python"))).toBe(1);
    const score = judging(code, {
      ...python,
      tests: [{ code: "assert f(2) == 4" }, { code: "assert f(3) == 8" }],
    });
    expect(await score(fenced("def f(x):\n    return x * x", "py"))).toBe(0.5);
    expect(await score(fenced("import sys\nsys.exit(0)", "py"))).toBe(0);
  });

  test("cannot have more memory than it may", async () => {
    const source =
      "try:\n    x = bytearray(2 << 30)\n    print('got it')\nexcept MemoryError:\n    print('refused')";
    expect(
      await judging(code, { ...python, tests: [{ stdout: "refused" }] })(fenced(source, "py")),
    ).toBe(1);
  });
});

describe.runIf(hasPython && hasNamespaces)("namespaces", { timeout: 30_000 }, () => {
  const apart = { language: "python", isolation: "namespaces" };
  const says = (source: string, stdout: string, options = {}) =>
    judging(code, { ...apart, tests: [{ stdout }], ...options })(fenced(source, "python"));

  test("leave no file of the server to read, and none to write but in /tmp", async () => {
    const outside = import.meta.dirname;
    const source = `import os
print(os.path.exists(${JSON.stringify(outside)}), os.path.exists("/etc"), sorted(os.listdir("/tmp")))
for path in ["/usr/x", "/program/x"]:
    try: open(path, "w"); print("wrote", path)
    except OSError as error: print(error.errno)
open("/tmp/x", "w").write("y"); print(open("/tmp/x").read())`;
    expect(await says(source, "False False []\n30\n30\ny")).toBe(1);
  });

  test("leave no network, the server's own machine included", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address!.port : 0;
    const source = `import socket
try: socket.create_connection(("127.0.0.1", ${port}), 1); print("connected")
except OSError: print("refused")`;
    expect(await says(source, "refused")).toBe(1);
    expect(
      await judging(code, { ...apart, isolation: "process", tests: [{ stdout: "connected" }] })(
        fenced(source, "python"),
      ),
    ).toBe(1);
    server.close();
  });

  test("leave no capability, and no way to new ones", async () => {
    const source = `import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print(libc.unshare(0x10000000), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.chroot(b"/tmp"))`;
    expect(await says(source, "-1 -1 -1")).toBe(1);
  });

  test("end what a program leaves behind", async () => {
    const source = `import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(30)
    sys.exit(0)
print("left")`;
    const started = performance.now();
    expect(await says(source, "left")).toBe(1);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test("run JavaScript too", async () => {
    const score = judging(code, { language: "javascript", ...echo });
    expect(await score(fenced(upper, "js"))).toBe(1);
  });
});

test("tests may be the prompt's, and there is no judgement when it has none", async () => {
  const reward = made(code, { ...js, tests_in_prompt: true });
  const asked =
    "Write twice(x).\nassert.equal(twice(2), 4)\n  assert.equal(twice(3), 7)\nassertive text";
  const judge = (content: string) =>
    reward
      .open({ messages: [{ role: "user", content }] }, new AbortController().signal)
      .score(fenced("const twice = (x) => 2 * x;", "js"));
  expect(await judge(asked)).toBe(0.5);
  expect(await judge("Write twice(x).")).toBeNaN();
  expect(() => made(code, js)).toThrow(/at least one test/);
});

test("no reward is given where the sandbox cannot be made", async () => {
  const score = judging(code, {
    language: "javascript",
    folders: ["/proc/self"],
    tests: [{ stdout: "1" }],
  });
  await expect(score("console.log(1)")).rejects.toMatchObject({ code: "sandbox_failed" });
});

test("an interpreter or folder that is not there is refused", () => {
  const options = {
    language: "python",
    interpreter: "/opt/none/bin/python3",
    tests: [{ stdout: "" }],
  };
  expect(() => made(code, options)).toThrow(/no python at \/opt\/none/);
  const folder = { language: "javascript", folders: ["/none"], tests: [{ stdout: "" }] };
  expect(() => made(code, folder)).toThrow(/no \/none/);
});
