import { expect, onTestFinished, test } from "vitest";
import { createMetrics } from "../../src/base/metrics.ts";

function metricsOf() {
  const metrics = createMetrics();
  onTestFinished(() => void metrics.close());
  return metrics;
}

/** The rules of `promtool check metrics`, for our own names. */
test("names follow Prometheus' rules", async () => {
  const text = await metricsOf().text();
  const types = new Map(
    [...text.matchAll(/^# TYPE (plumbline_\S+) (\S+)$/gm)].map(([, name, type]) => [name!, type!]),
  );
  const helps = new Map(
    [...text.matchAll(/^# HELP (plumbline_\S+) (.+)$/gm)].map(([, name, help]) => [name!, help!]),
  );
  expect(types.size).toBeGreaterThan(10);
  for (const [name, type] of types) {
    expect(name).toMatch(/^plumbline(_[a-z]+)+$/);
    expect(name.endsWith("_total")).toBe(type === "counter");
    if (type === "histogram")
      expect(name).toMatch(/_(seconds|nats|ratio|reward|deviation|gain|disagreement)$/);
    expect(name).not.toMatch(/_(ms|milliseconds|count|sum|bucket)$/);
    expect(helps.get(name)).toMatch(/^[A-Z].*\.$/);
  }
});

test("belongs to its maker: two do not share a count", async () => {
  const [first, second] = [metricsOf(), metricsOf()];
  first.errors.inc({ code: "queue_full" });
  expect(await first.text()).toContain('plumbline_errors_total{code="queue_full"} 1');
  expect(await second.text()).not.toContain("queue_full");
});

test("tells the event loop's delay in seconds", async () => {
  const metrics = metricsOf();
  const until = performance.now() + 60;
  await new Promise((resolve) => setTimeout(resolve, 20)); // the monitor needs a first tick
  while (performance.now() < until); // blocks the loop
  await new Promise((resolve) => setTimeout(resolve, 20));
  const [, seconds] = /plumbline_event_loop_delay_seconds\{quantile="1"\} (\S+)/.exec(
    await metrics.text(),
  )!;
  expect(Number(seconds)).toBeGreaterThan(0.02);
  expect(Number(seconds)).toBeLessThan(10);
});
