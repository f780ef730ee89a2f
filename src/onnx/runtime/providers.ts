/**
 * Execution providers: what a session runs on. The CPU is always there; WebGPU is in the npm package
 * and needs a Vulkan, Metal or Direct3D 12 driver; CUDA's files are fetched by `npm run setup:cuda`.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { GatewayError } from "../../base/errors.ts";
import type { Pointer } from "./functions.ts";
import type { Library } from "./library.ts";
import { created } from "./native.ts";

export type Provider = "cpu" | "webgpu" | "cuda";

/** ONNX Runtime's name of the provider's memory; null for the CPU, whose memory JavaScript shares. */
export const deviceMemoryNames: Readonly<Record<Provider, string | null>> = {
  cpu: null,
  webgpu: "WebGPU_Buffer",
  cuda: "Cuda",
};

/**
 * Adds the provider to session options; operators it lacks run on the CPU.
 * @param device index of the CUDA device, from 0; WebGPU takes the system's preferred adapter.
 * @throws GatewayError provider_unavailable when its files are missing or it refuses.
 */
export function appendProvider(
  library: Library,
  options: Pointer,
  provider: Provider,
  device: number,
): void {
  if (provider === "cpu") return;
  try {
    if (provider === "webgpu") appendWebGpu(library, options);
    else appendCuda(library, options, device);
  } catch (cause) {
    throw asUnavailable(provider, cause);
  }
}

/** A session's creation failed: CUDA looks for its device only then, and that is the provider's error. */
export function explainCreation(provider: Provider, cause: unknown): unknown {
  const isDevice = provider === "cuda" && /cuda|cudnn|cublas/i.test(String(cause));
  return isDevice ? asUnavailable(provider, cause) : cause;
}

function appendWebGpu({ call }: Library, options: Pointer): void {
  call.SessionOptionsAppendExecutionProvider(options, "WebGPU", [], [], 0);
}

function appendCuda({ call, folder }: Library, options: Pointer, device: number): void {
  const file = join(folder, cudaFile());
  if (!existsSync(file)) throw new Error(`${file} does not exist`);
  const cuda = created((out) => call.CreateCUDAProviderOptions(out));
  try {
    call.UpdateCUDAProviderOptions(cuda, ["device_id"], [String(device)], 1);
    call.SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda);
  } finally {
    call.ReleaseCUDAProviderOptions(cuda);
  }
}

function cudaFile(): string {
  const isWindows = process.platform === "win32";
  return isWindows ? "onnxruntime_providers_cuda.dll" : "libonnxruntime_providers_cuda.so";
}

function asUnavailable(provider: Provider, cause: unknown): GatewayError {
  const problem = cause instanceof Error ? cause.message : String(cause);
  return new GatewayError(
    "provider_unavailable",
    { provider, problem, remedy: remedies[provider] },
    { cause },
  );
}

const remedies: Readonly<Record<Provider, string>> = {
  cpu: "Run 'npm ci'.",
  webgpu:
    "Install the GPU's Vulkan driver; without a GPU, point VK_ICD_FILENAMES to SwiftShader, or use the provider 'cpu'.",
  cuda: "Run 'npm run setup:cuda' on Linux x64 with CUDA 12 and cuDNN 9 installed, or use the provider 'cpu'.",
};
