/** What `auto` takes, and that a provider that is not there harms nothing. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { chooseProvider, whyNot } from "../../src/engine/choose-provider.ts";
import { openRuntime, type Runtime } from "../../src/onnx/runtime/index.ts";
import { loadModel, tinySource } from "../support/tiny-model.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

test("auto takes the first of cuda, webgpu and cpu that runs, and says why not those before", async () => {
  const { provider, refused } = await chooseProvider(runtime, "auto");
  const order = ["cuda", "webgpu", "cpu"] as const;
  expect(refused.map((each) => each.provider)).toEqual(order.slice(0, order.indexOf(provider)));
  for (const each of refused) {
    expect(each.reason.length).toBeGreaterThan(20);
    expect(await whyNot(runtime, each.provider)).toBe(each.reason);
  }
  expect(await whyNot(runtime, provider)).toBeNull();
});

test("a provider that is asked for is taken, whether it is there or not", async () => {
  expect(await chooseProvider(runtime, "cuda")).toEqual({ provider: "cuda", refused: [] });
});

test("float16 is refused on the CPU, with what to do", async () => {
  const options = { provider: "cpu", format: "float16" } as const;
  await expect(loadModel(runtime, tinySource(), "logits", options)).rejects.toMatchObject({
    code: "format_unavailable",
    message: expect.stringContaining("float32, int8 or int4, or on another device"),
  });
});
