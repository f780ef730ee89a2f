/**
 * `npm run test:gpu [-- vitest's arguments]`: the engine's tests on CUDA if it is there, else on WebGPU with the Vulkan
 * driver of this machine, else with SwiftShader, the software driver that Chromium brings. Nothing found: it says so and
 * succeeds.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { whyNot } from "../src/engine/choose-provider.ts";
import { openRuntime, type Provider } from "../src/onnx/runtime/index.ts";

const TESTS = ["test/engine", "test/onnx/draw.test.ts", "test/onnx/runtime/webgpu.test.ts"];
/** Of the CPU alone: rows that share prefixes, and rows of several tokens or alternatives. */
const LEFT_OUT = ["shared-prefix", "speculation", "growing-sequence"].map(
  (name) => `test/engine/${name}.test.ts`,
);
const SWIFTSHADER = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
  "/opt/google/chrome/vk_swiftshader_icd.json",
];

interface Found {
  readonly provider: Provider;
  readonly says: string;
  readonly environment: Record<string, string>;
}

/** Asked in a process of its own: a driver is chosen once in a process. */
function runs(provider: Provider, environment: Record<string, string>): boolean {
  const asked = spawnSync(process.execPath, [...process.execArgv, import.meta.filename, provider], {
    env: { ...process.env, ...environment },
    stdio: ["ignore", "ignore", "inherit"],
  });
  return asked.status === 0;
}

function find(): Found | null {
  if (runs("cuda", {})) return { provider: "cuda", says: "CUDA", environment: {} };
  const driver = process.env["VK_ICD_FILENAMES"];
  const vulkan = driver ? `WebGPU with ${driver}` : "WebGPU with this machine's graphics driver";
  if (runs("webgpu", {})) return { provider: "webgpu", says: vulkan, environment: {} };
  for (const file of SWIFTSHADER.filter(existsSync)) {
    const environment = { VK_ICD_FILENAMES: file };
    if (runs("webgpu", environment))
      return { provider: "webgpu", says: `WebGPU in software (${file})`, environment };
  }
  return null;
}

const [asked, ...more] = process.argv.slice(2);
if (asked === "cuda" || asked === "webgpu") {
  const reason = await whyNot(openRuntime(), asked, { evenInSoftware: true });
  if (reason !== null) console.error(`test:gpu: not ${asked}: ${reason}`);
  process.exit(reason === null ? 0 : 1);
}
const found = find();
if (!found) {
  console.error(
    "test:gpu: SKIPPED. Neither CUDA nor a Vulkan driver was found; for the software driver: apt-get install chromium libvulkan1",
  );
  process.exit(0);
}
console.error(`test:gpu: on ${found.says}`);
const given = [asked, ...more].filter((argument) => argument !== undefined);
const vitest = spawnSync(
  "npx",
  [
    "vitest",
    "run",
    "--testTimeout=170000",
    "--hookTimeout=170000",
    ...LEFT_OUT.map((file) => `--exclude=${file}`),
    ...(given.length ? given : TESTS),
  ],
  {
    env: { ...process.env, ...found.environment, PLUMBLINE_TEST_PROVIDER: found.provider },
    stdio: "inherit",
  },
);
process.exit(vitest.status ?? 1);
