import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import { deepened, initialWeights } from "../../src/train/initial-weights.ts";

const shapes = new Map<string, readonly number[]>([
  ["model.layers.0.self_attn.q_proj.weight", [200, 100]],
  ["model.layers.0.self_attn.q_proj.bias", [200]],
  ["model.layers.0.self_attn.o_proj.weight", [200, 100]],
  ["model.layers.0.mlp.down_proj.weight", [200, 100]],
  ["model.norm.weight", [100]],
  ["score.weight", [1, 100]],
]);
const weights = initialWeights(shapes, 8, createRandom(1));
const values = (name: string) => [...weights.get(name)!];
const deviation = (numbers: number[]) =>
  Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length);

test("has every weight in its size", () => {
  const sizes = [...weights].map(([name, data]) => [name, data.length]);
  expect(sizes).toEqual([...shapes].map(([name, shape]) => [name, shape.reduce((a, b) => a * b)]));
});
test("starts norms at 1, biases and the score head at 0", () => {
  expect(new Set(values("model.norm.weight"))).toEqual(new Set([1]));
  expect(new Set(values("model.layers.0.self_attn.q_proj.bias"))).toEqual(new Set([0]));
  expect(new Set(values("score.weight"))).toEqual(new Set([0]));
});
test("spreads matrices by 0.02, and by 0.02/√16 into the residual stream of 8 layers", () => {
  // 20,000 draws: the deviation is known to 0.5 %, four standard errors are 2 %
  expect(deviation(values("model.layers.0.self_attn.q_proj.weight")) / 0.02).toBeCloseTo(1, 1.7);
  expect(deviation(values("model.layers.0.self_attn.o_proj.weight")) / 0.005).toBeCloseTo(1, 1.7);
  expect(deviation(values("model.layers.0.mlp.down_proj.weight")) / 0.005).toBeCloseTo(1, 1.7);
});
test("gives the same weights for the same seed only", () => {
  expect(initialWeights(shapes, 8, createRandom(1))).toEqual(weights);
  expect(initialWeights(shapes, 8, createRandom(2))).not.toEqual(weights);
});

test("deepens a body by layers that write nothing yet, and keeps what was trained", () => {
  const trained = new Map([
    ["model.layers.0.mlp.down_proj.weight", new Float32Array(20_000).fill(3)],
  ]);
  const deeper = deepened(
    trained,
    new Map([...shapes, ["model.layers.1.mlp.down_proj.weight", [200, 100]]]),
    createRandom(1),
  );
  const range = (name: string) => new Set(deeper.get(name)!);
  expect(range("model.layers.0.mlp.down_proj.weight")).toEqual(new Set([3]));
  expect(range("model.layers.1.mlp.down_proj.weight")).toEqual(new Set([0]));
  expect(range("model.layers.0.self_attn.q_proj.weight").size).toBeGreaterThan(1_000);
});
