import { afterAll, beforeAll, expect, test } from "vitest";
import { openRuntime, type Runtime } from "../../../src/onnx/runtime/index.ts";
import { distillation } from "../../../src/train/losses/supervised/distillation.ts";
import { nd } from "../../support/arrays.ts";
import { column, runLoss } from "../../support/loss-terms.ts";

let runtime: Runtime;
beforeAll(() => {
  runtime = openRuntime();
});
afterAll(() => runtime.dispose());

const run = (teacher: number[], student: number[], token: number, options = {}) => {
  const terms = {
    logps: column([Math.log(token)]),
    weights: column([1]),
    student: nd([1, student.length], student.map(Math.log)),
    teacher: nd(
      [1, teacher.length],
      teacher.map((p) => (p === 0 ? -1e9 : Math.log(p))),
    ),
  };
  return runLoss(runtime, distillation, terms, ["logps", "student"], options);
};

test("adds λ·KL(teacher ‖ student), in that direction", async () => {
  const { loss, metrics } = await run([0.7, 0.3], [0.5, 0.5], 0.5);
  expect(metrics["teacher_kl"]).toBeCloseTo(0.08228287850505178, 12); // the other way round 0.0872
  expect(loss).toBeCloseTo(0.7013754684104505, 12);
});

test("is supervised learning for λ = 0, and where both agree", async () => {
  expect((await run([0.7, 0.3], [0.5, 0.5], 0.25, { teacher_weight: 0 })).loss).toBeCloseTo(
    2 * Math.LN2,
    12,
  );
  expect((await run([0.7, 0.3], [0.7, 0.3], 0.25)).loss).toBeCloseTo(2 * Math.LN2, 12);
});

test("a place that fills up a table of likely tokens adds nothing", async () => {
  const { loss, slopes } = await run([0.7, 0.3, 0], [0.5, 0.5, 1e-3], 0.5);
  expect(loss).toBeCloseTo(0.7013754684104505, 12);
  expect(Math.abs(slopes["student"]![2]!)).toBe(0);
});
