/**
 * The functions of ONNX Runtime's C API that Plumbline calls: name → [index in `struct OrtApi`, result,
 * parameters]. The struct is append-only, so an index holds for every later version.
 * Source: onnxruntime_c_api.h of 1.30; the newest entry used is CopyTensors, from API version 23.
 */

/** A native address. 0 is the null pointer. */
export type Pointer = bigint;
type Memory = ArrayBufferView<ArrayBufferLike>;

/** "path" is UTF-8, UTF-16 on Windows; "status" is an OrtStatus*, null for success. */
export type Parameter = "pointer" | "string" | "strings" | "path" | "int32" | "size";
export type Result = "status" | "void" | "pointer" | "string";
export type Signature = readonly [index: number, result: Result, ...parameters: Parameter[]];

type ArgumentOf<P> = P extends "pointer"
  ? Pointer | Memory | null
  : P extends "string" | "path"
    ? string
    : P extends "strings"
      ? readonly string[]
      : number;
type ResultOf<R> = R extends "pointer" ? Pointer | null : R extends "string" ? string : undefined;

/** The JavaScript function of a signature. One that returns a status throws GatewayError instead. */
export type FunctionOf<S> = S extends readonly [number, infer R, ...infer P]
  ? (...args: { -readonly [I in keyof P]: ArgumentOf<P[I]> }) => ResultOf<R>
  : never;

/** The least API version that has every function below. */
export const apiVersion = 23;
/** Entries of the table at that version; reading further would leave the struct of the oldest library. */
export const apiEntries = 387;

export const functions = {
  GetErrorMessage: [2, "string", "pointer"],
  ReleaseStatus: [93, "void", "pointer"],

  CreateEnv: [3, "status", "int32", "string", "pointer"],
  DisableTelemetryEvents: [6, "status", "pointer"],
  ReleaseEnv: [92, "void", "pointer"],
  GetAllocatorWithDefaultOptions: [78, "status", "pointer"],
  AllocatorFree: [76, "status", "pointer", "pointer"],

  GetEpDevices: [303, "status", "pointer", "pointer", "pointer"],
  EpDevice_EpName: [312, "string", "pointer"],

  CreateSessionOptions: [10, "status", "pointer"],
  EnableProfiling: [14, "status", "pointer", "path"],
  DisableMemPattern: [17, "status", "pointer"],
  DisableCpuMemArena: [19, "status", "pointer"],
  SetSessionGraphOptimizationLevel: [23, "status", "pointer", "int32"],
  SetIntraOpNumThreads: [24, "status", "pointer", "int32"],
  AddSessionConfigEntry: [130, "status", "pointer", "string", "string"],
  AddInitializer: [150, "status", "pointer", "string", "pointer"],
  AddExternalInitializers: [210, "status", "pointer", "strings", "pointer", "size"],
  ReleaseSessionOptions: [100, "void", "pointer"],
  CreatePrepackedWeightsContainer: [166, "status", "pointer"],
  ReleasePrepackedWeightsContainer: [167, "void", "pointer"],

  SessionOptionsAppendExecutionProvider: [
    216,
    "status",
    "pointer",
    "string",
    "strings",
    "strings",
    "size",
  ],
  CreateCUDAProviderOptions: [205, "status", "pointer"],
  UpdateCUDAProviderOptions: [206, "status", "pointer", "strings", "strings", "size"],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, "status", "pointer", "pointer"],
  ReleaseCUDAProviderOptions: [208, "void", "pointer"],

  CreateSessionWithPrepackedWeightsContainer: [
    168,
    "status",
    "pointer",
    "path",
    "pointer",
    "pointer",
    "pointer",
  ],
  CreateSessionFromArrayWithPrepackedWeightsContainer: [
    169,
    "status",
    "pointer",
    "pointer",
    "size",
    "pointer",
    "pointer",
    "pointer",
  ],
  SessionEndProfiling: [110, "status", "pointer", "pointer", "pointer"],
  ReleaseSession: [95, "void", "pointer"],
  SessionGetInputCount: [30, "status", "pointer", "pointer"],
  SessionGetOutputCount: [31, "status", "pointer", "pointer"],
  SessionGetInputTypeInfo: [33, "status", "pointer", "size", "pointer"],
  SessionGetOutputTypeInfo: [34, "status", "pointer", "size", "pointer"],
  SessionGetInputName: [36, "status", "pointer", "size", "pointer", "pointer"],
  SessionGetOutputName: [37, "status", "pointer", "size", "pointer", "pointer"],

  CastTypeInfoToTensorInfo: [55, "status", "pointer", "pointer"],
  ReleaseTypeInfo: [98, "void", "pointer"],
  GetTensorTypeAndShape: [65, "status", "pointer", "pointer"],
  GetTensorElementType: [60, "status", "pointer", "pointer"],
  GetDimensionsCount: [61, "status", "pointer", "pointer"],
  GetDimensions: [62, "status", "pointer", "pointer", "size"],
  GetSymbolicDimensions: [63, "status", "pointer", "pointer", "size"],
  ReleaseTensorTypeAndShapeInfo: [99, "void", "pointer"],

  CreateMemoryInfo: [68, "status", "string", "int32", "int32", "int32", "pointer"],
  ReleaseMemoryInfo: [94, "void", "pointer"],
  CreateAllocator: [131, "status", "pointer", "pointer", "pointer"],
  ReleaseAllocator: [132, "void", "pointer"],
  CreateTensorAsOrtValue: [48, "status", "pointer", "pointer", "size", "int32", "pointer"],
  CreateTensorWithDataAsOrtValue: [
    49,
    "status",
    "pointer",
    "pointer",
    "size",
    "pointer",
    "size",
    "int32",
    "pointer",
  ],
  GetTensorMutableData: [51, "status", "pointer", "pointer"],
  CopyTensors: [386, "status", "pointer", "pointer", "pointer", "pointer", "size"],
  ReleaseValue: [96, "void", "pointer"],

  CreateIoBinding: [134, "status", "pointer", "pointer"],
  BindInput: [136, "status", "pointer", "string", "pointer"],
  BindOutput: [137, "status", "pointer", "string", "pointer"],
  BindOutputToDevice: [138, "status", "pointer", "string", "pointer"],
  GetBoundOutputValues: [140, "status", "pointer", "pointer", "pointer", "pointer"],
  ReleaseIoBinding: [135, "void", "pointer"],
  RunWithBinding: [133, "status", "pointer", "pointer", "pointer"],
  CreateRunOptions: [39, "status", "pointer"],
  RunOptionsSetTerminate: [46, "status", "pointer"],
  ReleaseRunOptions: [97, "void", "pointer"],
} as const satisfies Record<string, Signature>;
