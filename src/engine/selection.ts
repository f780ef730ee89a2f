/**
 * Which of many values are the largest, without sorting them. The answer is a cutoff, so that the
 * caller can keep the winners in their own order. Knows nothing of tokens.
 */

/** Keeps every value above `value`, and of those equal to it the first `ties`. */
export interface Cutoff {
  readonly value: number;
  readonly ties: number;
}

/**
 * The cutoff that keeps exactly the k largest of values[0 … count). One pass, expected time
 * O(count + k·ln k·ln(count/k)).
 * @param heap scratch of at least k values; overwritten.
 */
export function countCutoff(
  values: Float32Array | Float64Array,
  count: number,
  k: number,
  heap: Float64Array,
): Cutoff {
  if (k >= count) return { value: -Infinity, ties: count };
  for (let i = 0; i < k; i++) heap[i] = values[i]!;
  for (let i = (k >> 1) - 1; i >= 0; i--) siftDown(heap, k, i);
  let smallest = heap[0]!;
  for (let i = k; i < count; i++) {
    const value = values[i]!;
    if (value > smallest) {
      heap[0] = value;
      siftDown(heap, k, 0);
      smallest = heap[0]!;
    }
  }
  let ties = 0;
  for (let i = 0; i < k; i++) if (heap[i] === smallest) ties++;
  return { value: smallest, ties };
}

/**
 * Places of the k largest values, ascending; of equals the first.
 * @param heap scratch of at least k values; overwritten.
 */
export function largest(
  values: Float32Array | Float64Array,
  k: number,
  heap: Float64Array = new Float64Array(k),
): number[] {
  const { value: least, ties } = countCutoff(values, values.length, k, heap);
  const places: number[] = [];
  let tiesLeft = ties;
  for (let place = 0; place < values.length; place++) {
    const value = values[place]!;
    if (value < least) continue;
    if (value > least || tiesLeft-- > 0) places.push(place);
  }
  return places;
}

/**
 * The cutoff that keeps the smallest set of largest weights whose sum reaches share·total, and at
 * least one. Expected time O(count): a prefilter, then quickselect by mass instead of by count.
 * @param weights [count] non-negative, not all zero.
 * @param total   their sum.
 * @param share   0 … 1.
 * @param spare   scratch of at least `count` values; overwritten.
 */
export function massCutoff(
  weights: Float64Array,
  count: number,
  total: number,
  share: number,
  spare: Float64Array,
): Cutoff {
  // Weights below `floor` sum to less than total·(1 − share): what lies above reaches the target.
  const floor = (total / count) * (1 - share);
  let end = 0;
  for (let i = 0; i < count; i++) {
    const weight = weights[i]!;
    if (weight >= floor) spare[end++] = weight;
  }
  // Never 0, or the empty set would reach it.
  const target = Math.max(share * total, Number.MIN_VALUE);
  let start = 0;
  let taken = 0; // sum of spare[0 … start), all of which belong to the set; below the target
  while (start < end) {
    const pivot = medianOfThree(spare, start, end);
    const { above, equal, mass } = partition(spare, start, end, pivot);
    if (taken + mass >= target) {
      end = above;
    } else if (taken + mass + equal * pivot >= target) {
      const needed = Math.ceil((target - taken - mass) / pivot);
      return { value: pivot, ties: Math.min(Math.max(needed, 1), equal) };
    } else {
      taken += mass + equal * pivot;
      start = above + equal;
    }
  }
  return { value: floor, ties: count }; // rounding left the sum of all survivors below the target
}

/** Restores the min-heap below position i. */
function siftDown(heap: Float64Array, size: number, i: number): void {
  const value = heap[i]!;
  let parent = i;
  for (let child = 2 * i + 1; child < size; child = 2 * parent + 1) {
    if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[parent] = heap[child]!;
    parent = child;
  }
  heap[parent] = value;
}

function medianOfThree(values: Float64Array, start: number, end: number): number {
  const a = values[start]!;
  const b = values[(start + end) >>> 1]!;
  const c = values[end - 1]!;
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

/**
 * Reorders values[start … end) into greater than, equal to and less than the pivot.
 * @returns above: index after the greater ones; equal: how many equal it; mass: sum of the greater ones.
 */
function partition(values: Float64Array, start: number, end: number, pivot: number) {
  let above = start;
  let below = end;
  let mass = 0;
  for (let i = start; i < below; ) {
    const value = values[i]!;
    if (value > pivot) {
      mass += value;
      values[i++] = values[above]!;
      values[above++] = value;
    } else if (value < pivot) {
      values[i] = values[--below]!;
      values[below] = value;
    } else {
      i++;
    }
  }
  return { above, equal: below - above, mass };
}
