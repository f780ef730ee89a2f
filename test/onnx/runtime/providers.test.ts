import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import { addModel } from "../../support/tiny-onnx.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const packageFolder = dirname(
  createRequire(import.meta.url).resolve("onnxruntime-node/package.json"),
);
const cudaFile = join(packageFolder, "bin/napi-v6/linux/x64/libonnxruntime_providers_cuda.so");

describe("a provider that is not there", () => {
  test.skipIf(existsSync(cudaFile))("names the command that fetches CUDA", async () => {
    await expect(runtime.session(addModel(), { provider: "cuda" })).rejects.toMatchObject({
      code: "provider_unavailable",
      message: expect.stringContaining("npm run setup:cuda"),
    });
  });

  test("leaves the CPU usable", async () => {
    await runtime.session(addModel(), { provider: "cuda" }).catch(() => undefined);
    const session = await runtime.session(addModel(), { provider: "cpu", threads: 1 });
    const a = await session.deviceTensor("float32", [1]);
    expect([...a.data]).toEqual([0]); // the CPU's device memory is ordinary
    const { c } = await session.evaluate({ a, b: a });
    expect([...c!.data]).toEqual([0]);
    session.dispose();
  });
});
