/**
 * The operators a graph may hold: inputs and attributes of each, in ONNX's own names (opset 24, and
 * com.microsoft's where said). `shapes.ts`, `gradients.ts` and the operator tests are total over
 * this table: an operator missing in one of them does not compile.
 */
import type { DType } from "./dtype.ts";
import type { Value } from "./graph.ts";

type None = Record<never, never>;
type Elementwise = { in: [Value, Value]; at: None };
type Unary = { in: [Value]; at: None };
/** `axes` is an input in ONNX; it is always constant here, so the encoder turns it into one. */
type Reduction = { in: [Value]; at: { axes: readonly number[]; keepdims: 0 | 1 } };

export interface Ops {
  Add: Elementwise;
  Sub: Elementwise;
  Mul: Elementwise;
  Div: Elementwise;
  Max: Elementwise;
  Min: Elementwise;
  Less: Elementwise;
  LessOrEqual: Elementwise;
  Equal: Elementwise;
  And: Elementwise;
  Neg: Unary;
  Abs: Unary;
  Exp: Unary;
  Log: Unary;
  Sqrt: Unary;
  Reciprocal: Unary;
  Sin: Unary;
  Cos: Unary;
  Tanh: Unary;
  Sigmoid: Unary;
  Softplus: Unary;
  Identity: Unary;
  Cast: { in: [Value]; at: { to: DType } };
  Pow: Elementwise;
  Where: { in: [Value, Value, Value]; at: None };
  MatMul: Elementwise;
  /** com.microsoft: alpha · op(A) · op(B), op = transposition of the last two axes. float32 only. */
  FusedMatMul: { in: [Value, Value]; at: { transA: 0 | 1; transB: 0 | 1; alpha: number } };
  /** Serving only: op(A) · op(B) of two matrices, which every device computes; FusedMatMul is not for WebGPU. */
  Gemm: { in: [Value, Value]; at: { transA: 0 | 1; transB: 0 | 1 } };
  Transpose: { in: [Value]; at: { perm: readonly number[] } };
  Reshape: { in: [Value, Value]; at: { shape: readonly (number | string)[] } };
  Expand: { in: [Value, Value]; at: { shape: readonly (number | string)[] } };
  Concat: { in: readonly Value[]; at: { axis: number } };
  Slice: { in: [Value]; at: { axis: number; start: number; end: number } };
  Gather: { in: [Value, Value]; at: { axis: number } };
  GatherElements: { in: [Value, Value]; at: { axis: number } };
  /** x[indices[…, 0], indices[…, 1], …]: serving only. */
  GatherND: { in: [Value, Value]; at: None };
  ScatterElements: { in: [Value, Value, Value]; at: { axis: number; reduction: "none" | "add" } };
  ScatterND: { in: [Value, Value, Value]; at: { reduction: "none" | "add" } };
  ReduceSum: Reduction;
  ReduceMean: Reduction;
  ReduceMax: Reduction;
  /** Position of the largest, int64; of equals the first. */
  ArgMax: { in: [Value]; at: { axis: number; keepdims: 0 | 1 } };
  Softmax: { in: [Value]; at: { axis: number } };
  LogSoftmax: { in: [Value]; at: { axis: number } };
  CumSum: { in: [Value]; at: { axis: number; reverse: 0 | 1 } };
  /** x / √(mean(x²) + ε) · scale over the last axis. */
  RMSNormalization: { in: [Value, Value]; at: { epsilon: number } };
  /** X [batch, heads, tokens, headDim], cos and sin [positions, headDim/2], ids [batch, tokens]; halves rotated. */
  RotaryEmbedding: { in: [Value, Value, Value, Value]; at: None };
  /** Serving only: cache [batch, heads, capacity, size], updates [batch, heads, tokens, size], where each batch's start [batch]. */
  TensorScatter: { in: [Value, Value, Value]; at: { axis: number } };
  Shape: Unary;
  Size: Unary;
  ConstantOfShape: {
    in: [Value];
    at: { value: number; dtype: DType; shape: readonly (number | string)[] };
  };
  ReduceLogSumExp: Reduction;
  /** com.microsoft, serving only: A [rows, K], packed, scales and zero points of `quantize.ts` → A·Bᵀ [rows, N]. */
  MatMulNBits: {
    in: [Value, Value, Value, Value];
    at: { K: number; N: number; bits: 4 | 8; block_size: number; accuracy_level: number };
  };
  /** start, limit, step, whole numbers: start, start + step, … below limit. `shape` says the size's name. */
  Range: { in: [Value, Value, Value]; at: { shape: readonly (number | string)[] } };
  /**
   * com.microsoft, serving only: query, key, value, past key, past value, lengths − 1, total, cos, sin; where every
   * row says its own, position ids [batch, tokens] and what is added to scaled products [batch, 1, tokens, total].
   */
  GroupQueryAttention: {
    in: GroupQueryInputs | [...GroupQueryInputs, position: Value, bias: Value];
    at: {
      num_heads: number;
      kv_num_heads: number;
      do_rotary: 0 | 1;
      rotary_interleaved: 0;
      scale: number;
      /** 0: none. */
      softcap: number;
      /** −1: everything before. */
      local_window_size: number;
    };
  };
}

type GroupQueryInputs = [Value, Value, Value, Value, Value, Value, Value, Value, Value];

export type OpName = keyof Ops;
export type Inputs<K extends OpName> = Ops[K]["in"];
export type Attributes<K extends OpName> = Ops[K]["at"];
