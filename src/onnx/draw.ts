/**
 * The next token of each row drawn by the graph, so that no row of the vocabulary leaves the device: what
 * `engine/sampler.ts` does with the running sums on the CPU. Knows nothing of seeds: the uniforms are given.
 */
import type { Graph, Value } from "./graph.ts";

const CDF_BLOCK_MAX = 1024;

/**
 * Over how many tokens probabilities are summed in single precision: a running sum over 150,000 would have lost
 * the small ones. The largest divisor of the vocabulary up to 1,024.
 */
export function cdfBlock(vocabSize: number): number {
  let block = Math.min(vocabSize, CDF_BLOCK_MAX);
  while (vocabSize % block !== 0) block--;
  return block;
}

interface DrawInputs {
  /** [rows, 1] float32; 0 takes the most likely token. */
  readonly temperature: Value;
  /** [rows, 1] float64 in [0, 1). */
  readonly uniform: Value;
}

/** ln Σ exp over the last axis, [rows]. WebGPU's own operator overflows from a logit of 89 on. */
export function logSumExp(g: Graph, logits: Value): Value {
  const most = g.maximum(logits, -1, true);
  const sum = g.sum(g.exp(g.sub(logits, most)), -1, true);
  return g.reshape(g.add(most, g.log(sum)), [logits.shape[0]!]);
}

/**
 * Inverse CDF of softmax(logits / temperature) in two steps: the masses of blocks of `cdfBlock` tokens are summed in
 * double precision, and the block that holds u of the whole is searched by its running sum in float32. Devices without
 * doubles leave the first step, a number for each block, to the CPU.
 * @param total [rows] ln Σ exp(logits).
 * @returns token [rows] int32; logprob [rows], its logit less `total`. Of rows whose `total` is not finite neither
 *          means anything.
 */
export function drawTokens(
  g: Graph,
  logits: Value,
  total: Value,
  { temperature, uniform }: DrawInputs,
): { token: Value; logprob: Value } {
  const [rows, vocabSize] = [logits.shape[0]!, Number(logits.shape[1])];
  const block = cdfBlock(vocabSize);
  const isGreedy = g.equal(temperature, g.scalar(0));
  const probabilities = g.softmax(g.div(logits, g.where(isGreedy, g.scalar(1), temperature)));
  const blocks = g.reshape(probabilities, [rows, vocabSize / block, block]);
  const chosen = chooseBlock(g, g.sum(blocks, 2), uniform);
  const byBlock = g.reshape(probabilities, ["blocks", block]);
  const sums = g.op("CumSum", [g.gather(byBlock, chosen.inAllRows)], { axis: 1, reverse: 0 });
  const within = positionIn(g, sums, chosen);
  const drawn = g.add(g.scale(chosen.index, block), within); // exact: below 2^24
  const best = g.cast(
    g.cast(g.op("ArgMax", [logits], { axis: 1, keepdims: 1 }), "int32"),
    "float32",
  );
  const token = g.cast(g.where(isGreedy, best, drawn), "int32");
  const logit = g.gatherElements(logits, token, 1);
  // Rounding in the sum must not make it positive.
  const logprob = g.min(g.scalar(0), g.sub(g.reshape(logit, [rows]), total));
  return { token: g.reshape(token, [rows]), logprob };
}

interface ChosenBlock {
  /** [rows, 1] float32, and where it lies among the blocks of all rows, [rows] int64. */
  readonly index: Value;
  readonly inAllRows: Value;
  /** [rows, 1] float32: what is left of the target before the block, and 1 where rounding raised it, else 0. */
  readonly target: Value;
  readonly isRaised: Value;
}

/** @param masses [rows, blocks] float32 */
function chooseBlock(g: Graph, masses: Value, uniform: Value): ChosenBlock {
  const [rows, count] = [masses.shape[0]!, Number(masses.shape[1])];
  const double = (x: Value) => g.cast(x, "float64");
  const sums = g.op("CumSum", [double(masses)], { axis: 1, reverse: 0 });
  const whole = g.slice(sums, 1, count - 1, count);
  // Below the whole, also where u rounds to 1: the block then adds something.
  const most = g.scale(whole, 1 - 2 * Number.EPSILON);
  const target = g.min(g.mul(uniform, whole), most);
  const isBefore = double(g.lessOrEqual(sums, target));
  const index = g.sum(isBefore, 1, true);
  const left = g.sub(target, g.maximum(g.mul(isBefore, sums), 1, true));
  const single = g.cast(left, "float32");
  const isRaised = g.cast(g.less(left, double(single)), "float32");
  const ones = g.op("ConstantOfShape", [g.op("Shape", [uniform], {})], {
    value: 1,
    dtype: "float64",
    shape: uniform.shape,
  });
  const row = g.sub(g.op("CumSum", [ones], { axis: 0, reverse: 0 }), ones);
  const inAllRows = g.cast(g.add(g.scale(row, count), index), "int64");
  return {
    index: g.cast(index, "float32"),
    inAllRows: g.reshape(inAllRows, [rows]),
    target: single,
    isRaised,
  };
}

/**
 * First position at which the running sum exceeds the target; else the last that adds something.
 * @param sums [rows, block] @returns [rows, 1] float32
 */
function positionIn(g: Graph, sums: Value, { target, isRaised }: ChosenBlock): Value {
  const block = Number(sums.shape[1]);
  const count = (isCounted: Value) => g.sum(g.cast(isCounted, "float32"), 1, true);
  const below = count(g.less(sums, target));
  // A sum equal to a target that rounding raised exceeds the target itself.
  const equal = g.mul(count(g.equal(sums, target)), g.sub(g.scalar(1), isRaised));
  const last = g.slice(sums, 1, block - 1, block);
  return g.min(g.add(below, equal), count(g.less(sums, last)));
}
