/** What the graph gives on the CPU as `cdf`, for logits that came from elsewhere. */
import { cdfBlock } from "../onnx/draw.ts";

/** Running sums of softmax(logits / temperature) within blocks of `cdfBlock`, [V]; NaN if a logit is NaN or +Infinity. */
export function runningSums(logits: Float32Array, temperature: number): Float32Array {
  const block = cdfBlock(logits.length);
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sums = new Float32Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const weight = Math.exp((logits[i]! - most) / temperature);
    sums[i] = weight;
    total += weight;
  }
  for (let i = 0; i < logits.length; i++) {
    sums[i] = sums[i]! / total + (i % block === 0 ? 0 : sums[i - 1]!);
  }
  return sums;
}
