/** What a file of tests works with, and what is gone when they have run. Hooks run last first: ask for the folder first. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "plumbline-test-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  return folder;
}

export function testRuntime(): Runtime {
  const runtime = openRuntime();
  afterAll(() => runtime.dispose());
  return runtime;
}
